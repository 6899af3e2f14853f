import { type Approvers, questionOf } from './approval.ts'
import { type Deployment, isInFlight } from './deployment.ts'
import type { GateName, GateVerdict } from './judge.ts'
import type { Rollout } from './rollout.ts'

const words: Record<GateName, { name: string; show: (value: number) => string }> = {
  success_share: { name: 'success share', show: percent },
  sample: { name: 'smallest sample', show: (value) => `${value} attempts` },
  error_rate: { name: 'error rate', show: percent },
  p95_micros: { name: 'p95 latency', show: milliseconds },
  drift_evidence: { name: 'drift evidence', show: (value) => String(significant(value)) },
}

const opposite = { '<=': '>', '>=': '<' } as const

/** `p95 latency 84 ms > 60 ms (14 of 20 devices)`: metric, value, relation, threshold, sample. */
export function gateSentence(gate: Omit<GateVerdict, 'sentence'>): string {
  const { name, show } = words[gate.name]
  const devices = `(${gate.n} of ${gate.of} devices)`
  if (gate.value === null) return `${name} not measured, limit ${gate.op} ${show(gate.threshold)} ${devices}`
  const holds = gate.op === '<=' ? gate.value <= gate.threshold : gate.value >= gate.threshold
  const relation = holds ? gate.op : opposite[gate.op]
  return `${name} ${show(gate.value)} ${relation} ${show(gate.threshold)} ${devices}`
}

/** What failed and why, with the devices' own codes: a count is not a cause. */
export function failureSentence(gates: readonly GateVerdict[], deployments: readonly Deployment[]): string {
  const failed = gates.filter(({ state }) => state === 'fail').map(({ sentence }) => sentence)
  const codes = new Map<string, number>()
  for (const { code, state } of deployments)
    if (code && (state === 'failed' || state === 'rolled_back')) codes.set(code, (codes.get(code) ?? 0) + 1)
  const counted = [...codes].map(([code, count]) => (count > 1 ? `${count} times ${code}` : code))
  return failed.join('; ') + (counted.length > 0 ? `: ${counted.join(', ')}` : '')
}

/**
 * One line that answers: what is it doing, why, and what happens next.
 *
 * @param approvers absent: a waiting rollout does not say who could approve it
 */
export function verdictSentence(rollout: Rollout, approvers?: Approvers): string {
  const { phase, reason, goal } = rollout
  const all = [...rollout.deployments.values()]
  const count = (state: Deployment['state']) => all.filter((d) => d.state === state).length
  const release = `${goal.model} ${goal.version}`
  const since = reason ? `, since ${clock(reason.at)}` : ''
  const by = reason && reason.who !== 'hub' ? ` by ${reason.who}` : ''
  const because = reason?.text ? `: ${reason.text}` : ''
  switch (phase) {
    case 'draft':
      return `Not started: ${release} for ${all.length} devices.`
    case 'awaiting_approval':
      return `Waits for approval: ${approvalSentence(rollout, approvers)}`
    case 'scheduled':
      return `Scheduled: ${release} for ${all.length} devices at ${new Date(rollout.plan.startAt ?? 0).toISOString()}.`
    case 'running':
      return runningSentence(rollout, approvers)
    case 'paused':
      return `Paused${by}${atWave(rollout)}${because}${since}. No further device is directed.`
    case 'completed': {
      const missed = count('unreached') > 0 ? `, ${count('unreached')} not reached` : ''
      const skipped = count('skipped') > 0 ? `, ${count('skipped')} skipped` : ''
      return `Completed: ${count('succeeded')} of ${all.length} devices run ${release}${missed}${skipped}.`
    }
    case 'aborted':
      return `Aborted${by}${atWave(rollout)}${because}${since}. ${count('succeeded')} devices keep ${release}; nobody else gets it.`
    case 'rolling_back':
      return `Rolling back${by}${because}. ${count('rolled_back')} of ${all.length - count('skipped')} devices are back.`
    case 'rolled_back':
      return `Rolled back${because}.`
  }
}

/** How much is missing, and who could give it: a rollout that waits for ever must say for whom. */
function approvalSentence(rollout: Rollout, approvers: Approvers | undefined): string {
  const question = questionOf(rollout, approvers ?? { minimum: 0, people: [] })
  if (!approvers || !question) return 'nobody is directed before it is given.'
  const { needed, given, missing, others } = question
  const by = given.map(({ person }) => person.name)
  const count = `${given.length} of ${needed} given${by.length > 0 ? ` (${listed(by, 'and')})` : ''}`
  const names = listed(
    others.map(({ name }) => name),
    'or',
  )
  if (others.length >= missing) return `${count}; ${names} could give what is missing.`
  const few = names === '' ? 'nobody could give more' : `only ${names} could give more`
  return `${count}; ${few}: an administrator has to make somebody an approver.`
}

function listed(names: readonly string[], joint: 'and' | 'or'): string {
  if (names.length > 5) return `${names.slice(0, 4).join(', ')} ${joint} ${names.length - 4} others`
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${joint} ${names.at(-1)}`
}

function runningSentence(rollout: Rollout, approvers: Approvers | undefined): string {
  const index = rollout.waves.findIndex(({ state }) => state !== 'passed')
  const wave = rollout.waves[index]
  if (!wave) return `All ${rollout.waves.length} waves passed.`
  const inWave = [...rollout.deployments.values()].filter((d) => d.wave === index && d.state !== 'skipped')
  const updated = `${inWave.filter(({ state }) => state === 'succeeded').length} of ${inWave.length} devices updated`
  const at = atWave(rollout)
  switch (wave.state) {
    case 'awaiting_approval':
      return `Waits for approval${at}: ${approvalSentence(rollout, approvers)}`
    case 'soaking':
    case 'judging': {
      const plan = rollout.plan.waves.find(({ name }) => name === wave.name)
      return `Soaking${at}: ${updated}; judged from ${clock(wave.since + (plan?.soakMs ?? 0))} on.`
    }
    case 'held': {
      const open = wave.gates.filter(({ state }) => state === 'inconclusive').map(({ sentence }) => sentence)
      return `Held${at}: ${open.join('; ')}, since ${clock(wave.since)}. Missing data passes nothing.`
    }
    default:
      return `Running${at}: ${updated}, ${inWave.filter(isInFlight).length} in progress.`
  }
}

function atWave(rollout: Rollout): string {
  const index = rollout.waves.findIndex(({ state }) => state !== 'passed')
  const wave = rollout.waves[index]
  return wave ? ` at wave ${index + 1} of ${rollout.waves.length} (${wave.name})` : ''
}

/** UTC and said to be: a time of day without its zone misleads. */
function clock(at: number): string {
  return `${new Date(at).toISOString().slice(11, 16)} UTC`
}

function percent(value: number): string {
  return `${significant(value * 100)} %`
}

function milliseconds(micros: number): string {
  return `${significant(micros / 1000)} ms`
}

function significant(value: number): number {
  return Number(value.toPrecision(3))
}
