import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { EpochMs } from '@godwit/protocol/units'
import {
  type Answer,
  type Deployment,
  expire,
  hasEnded,
  hasFailed,
  hear,
  isInFlight,
  isRetryable,
  moved,
} from './deployment.ts'
import { type Evidence, type GateVerdict, judge, wordOf } from './judge.ts'
import type { Plan, WavePlan } from './plan.ts'
import { failureSentence } from './sentence.ts'

export const rolloutPhases = [
  'draft',
  'scheduled',
  'running',
  'paused',
  'completed',
  'aborted',
  'rolling_back',
  'rolled_back',
] as const
export type RolloutPhase = (typeof rolloutPhases)[number]
export const waveStates = ['pending', 'open', 'soaking', 'judging', 'passed', 'held', 'failed'] as const
export type WaveState = (typeof waveStates)[number]

export type Wave = {
  readonly name: string
  readonly state: WaveState
  readonly since: EpochMs
  /** Evidence counts from here: the wave's opening, or the operator's last resume after a failure. */
  readonly judgedFrom: EpochMs
  /** Devices whose failure that resume overruled. By name: a clock that jumps back must not overrule anybody's. */
  readonly overruled: readonly string[]
  readonly gates: readonly GateVerdict[]
}

/** Why the phase is what it is. `who` is `hub` when a gate decided. */
export type Reason = { readonly who: string; readonly text: string; readonly at: EpochMs }

export type Rollout = {
  readonly id: string
  readonly slot: string
  readonly goal: SlotGoal
  readonly plan: Plan
  readonly phase: RolloutPhase
  readonly since: EpochMs
  readonly reason: Reason | null
  readonly waves: readonly Wave[]
  readonly deployments: ReadonlyMap<string, Deployment>
  /** After an abort: devices whose goal must still be taken back. Emptied once that is done. */
  readonly toRestore: readonly string[]
}

export type OperatorAction = 'start' | 'pause' | 'resume' | 'abort' | 'rollback' | 'retry'
export type RolloutEvent =
  | { type: 'tick'; at: EpochMs; evidence: Evidence }
  | { type: 'answered'; at: EpochMs; deviceId: string; answer: Answer }
  /** Directives are signed; devices that are gone or revoked are not in `versions`. */
  | { type: 'directed'; at: EpochMs; deviceIds: readonly string[]; versions: ReadonlyMap<string, number> }
  | { type: 'revoked'; at: EpochMs; deviceId: string }
  | { type: OperatorAction; at: EpochMs; who: string; reason: string }

export type Action =
  /** `force`: the goal is already set, and only a new directive makes the device try again. */
  | { do: 'direct'; deviceIds: readonly string[]; force: boolean }
  | { do: 'restore'; deviceIds: readonly string[] }
  | { do: 'record'; kind: string; who: string; message: string; evidence?: unknown }

export type Step = { rollout: Rollout; actions: readonly Action[] }

const allowed: Record<RolloutPhase, readonly OperatorAction[]> = {
  draft: ['start', 'abort'],
  scheduled: ['start', 'abort'],
  running: ['pause', 'abort', 'rollback', 'retry'],
  paused: ['resume', 'abort', 'rollback', 'retry'],
  completed: ['rollback'],
  aborted: ['rollback'],
  rolling_back: [],
  rolled_back: [],
}

/** The one answer to "what may I do now?": routes check it, pages and the command line render it. */
export function allowedActions(rollout: Rollout): OperatorAction[] {
  const deployments = [...rollout.deployments.values()]
  return allowed[rollout.phase].filter((action) => {
    if (action === 'retry') return deployments.some(isRetryable)
    if (action === 'rollback') return deployments.some(wasDirected)
    return true
  })
}

export function isActive({ phase }: Pick<Rollout, 'phase'>): boolean {
  return phase !== 'completed' && phase !== 'aborted' && phase !== 'rolled_back'
}

/** The wave that is being worked on: the first that has not passed. Undefined when all have. */
export function currentWave(rollout: Rollout): number | undefined {
  const found = rollout.waves.findIndex(({ state }) => state !== 'passed')
  return found < 0 ? undefined : found
}

export function deploymentsOf(rollout: Rollout, wave: number): Deployment[] {
  return [...rollout.deployments.values()].filter((deployment) => deployment.wave === wave)
}

/**
 * Decides; never performs. The caller stores `rollout`, then carries out `actions` in order. Every action can be
 * repeated without harm, and what a crash left undone is asked for again by the next tick.
 */
export function step(rollout: Rollout, event: RolloutEvent): Step {
  switch (event.type) {
    case 'tick':
      return tick(rollout, event.at, event.evidence)
    case 'answered':
      return answered(rollout, event.deviceId, event.answer, event.at)
    case 'directed':
      return directed(rollout, event)
    case 'revoked':
      return revoked(rollout, event.deviceId, event.at)
    default:
      return allowedActions(rollout).includes(event.type)
        ? operators[event.type](rollout, event)
        : stay(rollout)
  }
}

function stay(rollout: Rollout): Step {
  return { rollout, actions: [] }
}

type Order = { at: EpochMs; who: string; reason: string }

const operators: Record<OperatorAction, (rollout: Rollout, order: Order) => Step> = {
  start: (rollout, order) => toPhase(rollout, 'running', order),
  pause: (rollout, order) => toPhase(rollout, 'paused', order),
  resume: (rollout, order) => toPhase(forgiven(rollout, order.at), 'running', order),
  abort(rollout, order) {
    const unfinished = (d: Deployment) => wasDirected(d) && d.state !== 'succeeded'
    const toRestore = [...rollout.deployments.values()].filter(unfinished).map(({ deviceId }) => deviceId)
    // An offline device must not come back next week and install what was called off today.
    const deployments = mapped(rollout.deployments, (d) =>
      d.state === 'pending' || isInFlight(d)
        ? moved(d, 'skipped', order.at, d.code, 'the rollout was aborted')
        : d,
    )
    return toPhase({ ...rollout, deployments, toRestore }, 'aborted', order)
  },
  rollback: (rollout, order) => toPhase(turnedBack(rollout, order.at), 'rolling_back', order),
  retry(rollout, order) {
    const again = new Set(
      [...rollout.deployments.values()].filter(isRetryable).map(({ deviceId }) => deviceId),
    )
    const deployments = mapped(rollout.deployments, (d) =>
      // The code stays: it tells the next direction that the goal is already set and has to be forced.
      again.has(d.deviceId)
        ? { ...moved(d, 'pending', order.at, d.code, d.detail), directiveVersion: null }
        : d,
    )
    // Who gets another try is judged by it.
    const waves = rollout.waves.map((wave) => ({
      ...wave,
      overruled: wave.overruled.filter((id) => !again.has(id)),
    }))
    const message = `retries ${again.size} devices: ${order.reason}`
    return {
      rollout: { ...rollout, waves, deployments },
      actions: [{ do: 'record', kind: 'retry', who: order.who, message }],
    }
  },
}

function toPhase(
  rollout: Rollout,
  phase: RolloutPhase,
  { at, who, reason }: Order,
  evidence?: unknown,
): Step {
  return {
    rollout: { ...rollout, phase, since: at, reason: { who, text: reason, at } },
    actions: [
      { do: 'record', kind: phase, who, message: reason, ...(evidence === undefined ? {} : { evidence }) },
    ],
  }
}

/** Resuming overrules what failed: the wave is soaked and judged anew, on what happens from now on. */
function forgiven(rollout: Rollout, at: EpochMs): Rollout {
  const waves = rollout.waves.map((wave, index): Wave => {
    if (wave.state !== 'failed') return wave
    const overruled = deploymentsOf(rollout, index)
      .filter(hasFailed)
      .map(({ deviceId }) => deviceId)
    return { ...wave, state: 'soaking', since: at, judgedFrom: at, overruled, gates: [] }
  })
  return { ...rollout, waves }
}

/** Was this device ever told to take the release, and so may hold it, now or later? */
function wasDirected({ state, directiveVersion }: Deployment): boolean {
  return directiveVersion !== null || (state !== 'pending' && state !== 'skipped')
}

function turnedBack(rollout: Rollout, at: EpochMs): Rollout {
  const deployments = mapped(rollout.deployments, (d) =>
    wasDirected(d)
      ? { ...d, state: 'pending', since: at, directiveVersion: null, code: null, detail: null }
      : moved(d, 'skipped', at, null, 'never directed'),
  )
  return { ...rollout, deployments, toRestore: [] }
}

function answered(rollout: Rollout, deviceId: string, answer: Answer, at: EpochMs): Step {
  const deployment = rollout.deployments.get(deviceId)
  if (!deployment || rollout.phase === 'aborted') return stay(rollout)
  const isBack = rollout.phase === 'rolling_back' || rollout.phase === 'rolled_back'
  const wanted = isBack ? deployment.previous?.releaseDigest : rollout.goal.releaseDigest
  const heard = hear(deployment, answer, wanted, isBack ? 'rolled_back' : 'succeeded', at)
  // Once it is over, a device may be in other hands: only the late arrival of what was wanted still counts.
  if (!isActive(rollout) && heard.state !== (isBack ? 'rolled_back' : 'succeeded')) return stay(rollout)
  return changed(rollout, heard)
}

function directed(rollout: Rollout, event: Extract<RolloutEvent, { type: 'directed' }>): Step {
  const asked = new Set(event.deviceIds)
  const deployments = mapped(rollout.deployments, (d) => {
    if (!asked.has(d.deviceId) || d.state !== 'directed') return d
    const version = event.versions.get(d.deviceId)
    if (version === undefined)
      return moved(
        d,
        'skipped',
        event.at,
        null,
        'not directed: revoked, or its goal was set by somebody else',
      )
    return { ...d, directiveVersion: version }
  })
  const toRestore = rollout.toRestore.filter((id) => !asked.has(id))
  return stay({ ...rollout, deployments, toRestore })
}

function revoked(rollout: Rollout, deviceId: string, at: EpochMs): Step {
  const deployment = rollout.deployments.get(deviceId)
  if (!deployment || hasEnded(deployment)) return stay(rollout)
  return changed(rollout, moved(deployment, 'skipped', at, null, 'the device was revoked'))
}

function changed(rollout: Rollout, deployment: Deployment): Step {
  if (rollout.deployments.get(deployment.deviceId) === deployment) return stay(rollout)
  const deployments = new Map(rollout.deployments).set(deployment.deviceId, deployment)
  return stay({ ...rollout, deployments })
}

function tick(rollout: Rollout, at: EpochMs, evidence: Evidence): Step {
  switch (rollout.phase) {
    case 'scheduled':
      return at >= (rollout.plan.startAt ?? 0)
        ? toPhase(rollout, 'running', { at, who: 'hub', reason: 'its time has come' })
        : stay(rollout)
    case 'running':
      return advance(expired(rollout, at), at, evidence)
    case 'paused':
      return stay(expired(rollout, at))
    case 'rolling_back':
      return retreat(expired(rollout, at), at)
    case 'aborted':
      return rollout.toRestore.length === 0
        ? stay(rollout)
        : { rollout, actions: [{ do: 'restore', deviceIds: rollout.toRestore }] }
    default:
      return stay(rollout)
  }
}

function expired(rollout: Rollout, at: EpochMs): Rollout {
  const deployments = mapped(rollout.deployments, (d) =>
    expire(d, planOfWave(rollout, d.wave).deadlineMs, at),
  )
  return deployments === rollout.deployments ? rollout : { ...rollout, deployments }
}

function planOfWave(rollout: Rollout, wave: number): WavePlan {
  return rollout.plan.waves.find(({ name }) => name === rollout.waves[wave]?.name) ?? rollout.plan.waves[0]!
}

/** One move of one wave per tick, so that every state is on record before the next is decided. */
function advance(rollout: Rollout, at: EpochMs, evidence: Evidence): Step {
  const index = currentWave(rollout)
  if (index === undefined) {
    const succeeded = [...rollout.deployments.values()].filter(({ state }) => state === 'succeeded').length
    return toPhase(rollout, 'completed', {
      at,
      who: 'hub',
      reason: `all ${rollout.waves.length} waves passed; ${succeeded} devices updated`,
    })
  }
  const wave = rollout.waves[index]!
  if (wave.state === 'pending') return toWave(rollout, index, { state: 'open', judgedFrom: at }, at)
  const plan = planOfWave(rollout, index)
  const deployments = deploymentsOf(rollout, index)
  const gates = judge(plan, deployments, evidence, wave.overruled)
  const judged = withWave(rollout, index, { gates })
  // Failing early is safe; passing early is not.
  if (wordOf(gates) === 'fail') return fail(judged, index, at)
  const isOver = deployments.every(hasEnded)
  const hasWork = [...rollout.deployments.values()].some((d) => d.wave <= index && needsDirection(d))
  if (wave.state === 'open') {
    if (hasWork || !isOver) return direct(judged, index, at)
    return toWave(judged, index, { state: 'soaking' }, at)
  }
  if (hasWork || !isOver) return toWave(judged, index, { state: 'open' }, at)
  if (wave.state === 'soaking')
    return at - wave.since < plan.soakMs ? stay(judged) : toWave(judged, index, { state: 'judging' }, at)
  if (wordOf(gates) === 'pass') return toWave(judged, index, { state: 'passed' }, at, gates)
  // Missing data holds; nothing but evidence, or an operator, moves it on.
  return wave.state === 'held' ? stay(judged) : toWave(judged, index, { state: 'held' }, at, gates)
}

/** Also what a crash left between the decision and the signature. */
function needsDirection({ state, directiveVersion }: Deployment): boolean {
  return state === 'pending' || (state === 'directed' && directiveVersion === null)
}

function direct(rollout: Rollout, index: number, at: EpochMs): Step {
  const chosen = chooseForDirection(rollout, (d) => d.wave <= index)
  if (chosen.length === 0) return stay(rollout)
  const [again, fresh] = [
    chosen.filter(({ code }) => code !== null),
    chosen.filter(({ code }) => code === null),
  ]
  const actions: Action[] = []
  for (const [deployments, force] of [
    [fresh, false],
    [again, true],
  ] as const) {
    const deviceIds = deployments.map(({ deviceId }) => deviceId)
    if (deviceIds.length > 0) actions.push({ do: 'direct', deviceIds, force })
  }
  return { rollout: asDirected(rollout, chosen, at), actions }
}

function retreat(rollout: Rollout, at: EpochMs): Step {
  const all = [...rollout.deployments.values()]
  const chosen = chooseForDirection(rollout, () => true)
  if (chosen.length > 0) {
    const deviceIds = chosen.map(({ deviceId }) => deviceId)
    return { rollout: asDirected(rollout, chosen, at), actions: [{ do: 'restore', deviceIds }] }
  }
  if (!all.every(hasEnded)) return stay(rollout)
  const count = (state: Deployment['state']) => all.filter((d) => d.state === state).length
  const rest = `${count('unreached')} not reached, ${count('failed')} failed`
  const reason = `${count('rolled_back')} devices are back on their previous release; ${rest}`
  return toPhase(rollout, 'rolled_back', { at, who: 'hub', reason })
}

function chooseForDirection(rollout: Rollout, eligible: (deployment: Deployment) => boolean): Deployment[] {
  const all = [...rollout.deployments.values()]
  const inFlight = all.filter((d) => isInFlight(d) && !needsDirection(d)).length
  const waiting = all.filter((d) => needsDirection(d) && eligible(d))
  return waiting.slice(0, Math.max(0, rollout.plan.maxInFlight - inFlight))
}

function asDirected(rollout: Rollout, chosen: readonly Deployment[], at: EpochMs): Rollout {
  const deployments = new Map(rollout.deployments)
  for (const d of chosen)
    deployments.set(d.deviceId, { ...moved(d, 'directed', at, d.code, null), since: at })
  return { ...rollout, deployments }
}

function fail(rollout: Rollout, index: number, at: EpochMs): Step {
  const { gates } = rollout.waves[index]!
  const failed = toWave(rollout, index, { state: 'failed' }, at, gates)
  const order = { at, who: 'hub', reason: failureSentence(gates, deploymentsOf(rollout, index)) }
  const next =
    rollout.plan.onFailure === 'rollback'
      ? toPhase(turnedBack(failed.rollout, at), 'rolling_back', order, gates)
      : toPhase(failed.rollout, 'paused', order, gates)
  return { rollout: next.rollout, actions: [...failed.actions, ...next.actions] }
}

function toWave(
  rollout: Rollout,
  index: number,
  change: Partial<Wave>,
  at: EpochMs,
  evidence?: unknown,
): Step {
  const moved = withWave(rollout, index, { ...change, since: at })
  const { name, state } = moved.waves[index]!
  const message = `wave ${index + 1} of ${moved.waves.length} (${name}): ${state}`
  return {
    rollout: moved,
    actions: [
      {
        do: 'record',
        kind: `wave_${state}`,
        who: 'hub',
        message,
        ...(evidence === undefined ? {} : { evidence }),
      },
    ],
  }
}

function withWave(rollout: Rollout, index: number, change: Partial<Wave>): Rollout {
  return { ...rollout, waves: rollout.waves.map((wave, i) => (i === index ? { ...wave, ...change } : wave)) }
}

/** The same map when nothing in it changed, so that the store has nothing to write. */
function mapped(
  deployments: ReadonlyMap<string, Deployment>,
  change: (deployment: Deployment) => Deployment,
): ReadonlyMap<string, Deployment> {
  let result: Map<string, Deployment> | undefined
  for (const [id, deployment] of deployments) {
    const next = change(deployment)
    if (next === deployment) continue
    result ??= new Map(deployments)
    result.set(id, next)
  }
  return result ?? deployments
}
