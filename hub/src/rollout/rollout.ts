import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { EpochMs } from '@godwit/protocol/units'
import type { Approval, ApprovalEvent, Approvers } from './approval.ts'
import { type Answer, isRetryable } from './deployment.ts'
import { type Deployments, wasDirected } from './deployments.ts'
import type { Evidence } from './judge.ts'
import type { Plan, WavePlan } from './plan.ts'
import type { Wave } from './wave.ts'

export const rolloutPhases = [
  'draft',
  'awaiting_approval',
  'scheduled',
  'running',
  'paused',
  'completed',
  'aborted',
  'rolling_back',
  'rolled_back',
] as const
export type RolloutPhase = (typeof rolloutPhases)[number]

/** Why the phase is what it is. `who` is `hub` when a gate decided. */
export type Reason = { readonly who: string; readonly text: string; readonly at: EpochMs }

export type Rollout = {
  readonly id: string
  readonly slot: string
  readonly goal: SlotGoal
  readonly plan: Plan
  /** The user who made it, and so never approves it. Null: a program did. */
  readonly creatorId: string | null
  readonly phase: RolloutPhase
  readonly since: EpochMs
  readonly reason: Reason | null
  readonly approvals: readonly Approval[]
  readonly waves: readonly Wave[]
  readonly deployments: Deployments
  /** After an abort: devices whose goal must still be taken back. Emptied once that is done. */
  readonly toRestore: readonly string[]
}

export type OperatorAction = 'start' | 'pause' | 'resume' | 'abort' | 'rollback' | 'retry'
export type RolloutEvent =
  | { type: 'tick'; at: EpochMs; evidence: Evidence; approvers: Approvers }
  /** By device; thousands may answer within a moment. */
  | { type: 'answered'; at: EpochMs; answers: ReadonlyMap<string, Answer> }
  /** Directives are signed; devices that are gone or revoked are not in `versions`. */
  | { type: 'directed'; at: EpochMs; deviceIds: readonly string[]; versions: ReadonlyMap<string, number> }
  | { type: 'revoked'; at: EpochMs; deviceId: string }
  | { type: OperatorAction; at: EpochMs; who: string; reason: string; approvers: Approvers }
  | ApprovalEvent

export type Action =
  /** `force`: the goal is already set, and only a new directive makes the device try again. */
  | { do: 'direct'; deviceIds: readonly string[]; force: boolean }
  | { do: 'restore'; deviceIds: readonly string[] }
  | { do: 'record'; kind: string; who: string; message: string; evidence?: unknown }

export type Step = { rollout: Rollout; actions: readonly Action[] }

const allowed: Record<RolloutPhase, readonly OperatorAction[]> = {
  draft: ['start', 'abort'],
  awaiting_approval: ['abort'],
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

export function planOfWave(rollout: Rollout, wave: number): WavePlan {
  return rollout.plan.waves.find(({ name }) => name === rollout.waves[wave]?.name) ?? rollout.plan.waves[0]!
}

export function stay(rollout: Rollout): Step {
  return { rollout, actions: [] }
}

export type Order = { at: EpochMs; who: string; reason: string }

/** Every change of phase is on record, with who, why and the numbers. */
export function toPhase(
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

export function toWave(
  rollout: Rollout,
  index: number,
  change: Partial<Wave>,
  at: EpochMs,
  evidence?: unknown,
): Step {
  const moved = withWave(rollout, index, { ...change, since: at })
  const { name, state } = moved.waves[index]!
  const message = `wave ${index + 1} of ${moved.waves.length} (${name}): ${state}`
  const record = { do: 'record', kind: `wave_${state}`, who: 'hub', message } as const
  return { rollout: moved, actions: [{ ...record, ...(evidence === undefined ? {} : { evidence }) }] }
}

export function withWave(rollout: Rollout, index: number, change: Partial<Wave>): Rollout {
  return { ...rollout, waves: rollout.waves.map((wave, i) => (i === index ? { ...wave, ...change } : wave)) }
}
