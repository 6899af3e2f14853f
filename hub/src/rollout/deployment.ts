import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Report } from '@godwit/protocol/messages/report'
import type { Phase } from '@godwit/protocol/phase'
import { type ResultCode, resultCodes } from '@godwit/protocol/result-code'
import type { EpochMs } from '@godwit/protocol/units'

export const deploymentStates = [
  'pending',
  'directed',
  'downloading',
  'verifying',
  'installing',
  'probing',
  'succeeded',
  'failed',
  'rolled_back',
  'unreached',
  'skipped',
] as const
export type DeploymentState = (typeof deploymentStates)[number]

/**
 * One device's share in a rollout. While the rollout rolls back, the same states are lived towards the previous release:
 * `pending` waits for its turn, `rolled_back` is the end that was wanted.
 */
export type Deployment = {
  readonly deviceId: string
  readonly wave: number
  readonly state: DeploymentState
  /** When it came into this state, by the hub's clock; its deadline counts from here. */
  readonly since: EpochMs
  /** Null until the directive is signed: a step that finds `directed` without one directs again. */
  readonly directiveVersion: number | null
  readonly previous: SlotGoal | null
  readonly code: ResultCode | null
  readonly detail: string | null
}

/** What a device's signed report says about one slot. */
export type Answer = {
  directiveVersion: number
  phase: Phase
  activeDigest?: string | undefined
  targetDigest?: string | undefined
  code?: ResultCode | undefined
  detail?: string | undefined
  /** Directive version that the last ended deployment answered. */
  answered: number
}

const inFlightStates: ReadonlySet<DeploymentState> = new Set([
  'directed',
  'downloading',
  'verifying',
  'installing',
  'probing',
])

export function isInFlight({ state }: Pick<Deployment, 'state'>): boolean {
  return inFlightStates.has(state)
}

/** Nothing more is expected of it, though a late answer is still heard. */
export function hasEnded({ state }: Pick<Deployment, 'state'>): boolean {
  return state !== 'pending' && !inFlightStates.has(state)
}

export function hasFailed({ state }: Pick<Deployment, 'state'>): boolean {
  return state === 'failed' || state === 'rolled_back'
}

export function isRetryable({ state, code }: Pick<Deployment, 'state' | 'code'>): boolean {
  return state === 'failed' && code !== null && resultCodes[code] === 'retryable'
}

export function answerIn(report: Report, slot: string): Answer | undefined {
  const found = Object.hasOwn(report.slots, slot) ? report.slots[slot] : undefined
  const { directiveVersion } = report
  // An agent that emptied the slot has nothing to say about it, and that is the answer to a goal taken back.
  if (!found) return { directiveVersion, phase: 'idle', answered: directiveVersion }
  const { phase, active, target, code, detail, answered } = found
  return {
    directiveVersion,
    phase,
    answered,
    activeDigest: active?.releaseDigest,
    targetDigest: target?.releaseDigest,
    code,
    detail,
  }
}

/** Where a running deployment stands, by the agent's phase. Ends are decided by `hear`, from more than the phase. */
const statesOf: Record<Phase, DeploymentState> = {
  idle: 'directed',
  assigned: 'directed',
  checking: 'directed',
  downloading: 'downloading',
  verified: 'verifying',
  staged: 'verifying',
  self_testing: 'verifying',
  activating: 'installing',
  probation: 'probing',
  committed: 'probing',
  rolling_back: 'probing',
  rolled_back: 'probing',
  refused: 'probing',
}

/**
 * @param wanted digest of the release this directive asked for; undefined: the slot shall be empty
 * @param end the state that the wanted outcome has: `succeeded`, or `rolled_back` on the way back
 */
export function hear(
  deployment: Deployment,
  answer: Answer,
  wanted: string | undefined,
  end: 'succeeded' | 'rolled_back',
  at: EpochMs,
): Deployment {
  const { state, directiveVersion } = deployment
  if (state === 'pending' || state === 'skipped' || directiveVersion === null) return deployment
  // It speaks of an older directive than ours.
  if (answer.directiveVersion < directiveVersion) return deployment
  const runsWanted =
    answer.activeDigest === wanted && (answer.phase === 'committed' || answer.phase === 'idle')
  if (runsWanted || wanted === undefined) return moved(deployment, end, at, null, null)
  if (answer.targetDigest !== wanted) return deployment
  const hasAnswered = answer.answered >= directiveVersion && answer.code !== undefined && answer.code !== 'ok'
  if (hasAnswered) {
    const ending = answer.phase === 'rolled_back' && end === 'succeeded' ? 'rolled_back' : 'failed'
    return moved(deployment, ending, at, answer.code ?? null, answer.detail ?? null)
  }
  // What has ended stays ended until it ends otherwise: a repeated report of an earlier phase undoes nothing.
  if (hasEnded(deployment) && state !== 'unreached') return deployment
  return moved(deployment, statesOf[answer.phase], at, null, null)
}

/** Silence is neither success nor, before the device was heard of, failure. */
export function expire(deployment: Deployment, deadlineMs: number, at: EpochMs): Deployment {
  const { state, since, directiveVersion } = deployment
  if (!isInFlight(deployment) || directiveVersion === null || at - since < deadlineMs) return deployment
  if (state === 'directed')
    return moved(deployment, 'unreached', at, null, `no answer within ${deadlineMs} ms`)
  return moved(deployment, 'failed', at, 'link_lost', `silent for ${deadlineMs} ms while ${state}`)
}

export function moved(
  deployment: Deployment,
  state: DeploymentState,
  at: EpochMs,
  code: ResultCode | null,
  detail: string | null,
): Deployment {
  if (deployment.state === state && deployment.code === code && deployment.detail === detail)
    return deployment
  const since = deployment.state === state ? deployment.since : at
  return { ...deployment, state, since, code, detail }
}
