import { type Approvers, nobody } from '@godwit/hub/rollout/approval'
import type { Answer, Deployment } from '@godwit/hub/rollout/deployment'
import type { DeviceEvidence, Evidence } from '@godwit/hub/rollout/judge'
import { type Plan, type PlanRequest, planOf } from '@godwit/hub/rollout/plan'
import type { Action, Rollout, RolloutEvent } from '@godwit/hub/rollout/rollout'
import { step } from '@godwit/hub/rollout/step'
import { defaultProbation, type SlotGoal } from '@godwit/protocol/messages/directive'
import { latencyBucketMicros } from '@godwit/protocol/messages/telemetry'

export function goalOf(version: string): SlotGoal {
  const digit = version.replaceAll(/[^0-9a-f]/g, '').slice(0, 1) || '0'
  return {
    model: 'gauge',
    version,
    releaseDigest: digit.repeat(64),
    releaseBytes: 1_000,
    probation: defaultProbation,
  }
}
export const previous = goalOf('1')
export const wanted = goalOf('2')

export const quick = { soakMs: 1_000, minSample: 10, deadlineMs: 60_000 }
export const twoWaves: PlanRequest = {
  waves: [
    { name: 'canary', size: { count: 1 }, ...quick },
    { name: 'rest', size: { rest: true }, ...quick },
  ],
}

/** `counts[i]` devices in wave i, named d0, d1, … */
export function rolloutOf(
  request: PlanRequest = twoWaves,
  counts: readonly number[] = [1, 2],
  change: Partial<Rollout> = {},
): Rollout {
  const plan: Plan = planOf(request)
  const deployments = new Map<string, Deployment>()
  counts.forEach((count, wave) => {
    for (let i = 0; i < count; i++) {
      const deviceId = `d${deployments.size}`
      const fresh = { state: 'pending', since: 0, directiveVersion: null, code: null, detail: null } as const
      deployments.set(deviceId, { deviceId, wave, previous, ...fresh })
    }
  })
  return {
    id: 'r1',
    slot: 'default',
    goal: wanted,
    plan,
    creatorId: null,
    phase: 'running',
    since: 0,
    reason: null,
    approvals: [],
    waves: plan.waves.map(({ name }) => ({
      name,
      state: 'pending',
      since: 0,
      judgedFrom: 0,
      overruled: [],
      gates: [],
    })),
    deployments,
    toRestore: [],
    ...change,
  }
}

export function evidenceOf(deviceIds: readonly string[], change: Partial<DeviceEvidence> = {}): Evidence {
  const latencyCounts = latencyBucketMicros.map((bound) => (bound === 1_000 ? 100 : 0))
  const healthy: DeviceEvidence = {
    inferences: 100,
    errors: 0,
    latencyCounts: [...latencyCounts, 0],
    drift: { word: 'quiet', peak: 1.5 },
  }
  return new Map(deviceIds.map((id) => [id, { ...healthy, ...change }]))
}

export const committed = (directiveVersion: number, goal = wanted): Answer => ({
  directiveVersion,
  phase: 'committed',
  activeDigest: goal.releaseDigest,
  targetDigest: goal.releaseDigest,
  code: 'ok',
  answered: directiveVersion,
})
export const refused = (
  directiveVersion: number,
  code: NonNullable<Answer['code']> = 'selftest_accuracy',
): Answer => ({
  directiveVersion,
  phase: code === 'link_lost' ? 'idle' : 'refused',
  activeDigest: previous.releaseDigest,
  targetDigest: wanted.releaseDigest,
  code,
  answered: directiveVersion,
})
export const at = (directiveVersion: number, phase: Answer['phase']): Answer => ({
  directiveVersion,
  phase,
  activeDigest: previous.releaseDigest,
  targetDigest: wanted.releaseDigest,
  answered: directiveVersion - 1,
})

/** The hub around the machine, without a hub: performs actions on a made-up fleet and remembers them. */
export class Bench {
  rollout: Rollout
  now = 1_000
  evidence: Evidence = new Map()
  approvers: Approvers = nobody
  readonly actions: Action[] = []
  /** Directive version per device. */
  readonly versions = new Map<string, number>()

  onStep: (before: Rollout, after: Rollout, actions: readonly Action[]) => void = () => {}

  constructor(rollout: Rollout) {
    this.rollout = rollout
  }

  send(event: RolloutEvent): this {
    const before = this.rollout
    const { rollout, actions } = step(before, event)
    this.rollout = rollout
    this.onStep(before, rollout, actions)
    for (const action of actions) {
      this.actions.push(action)
      if (action.do === 'record') continue
      for (const id of action.deviceIds) this.versions.set(id, (this.versions.get(id) ?? 0) + 1)
      const versions = new Map(action.deviceIds.map((id) => [id, this.versions.get(id)!]))
      this.send({ type: 'directed', at: this.now, deviceIds: action.deviceIds, versions })
    }
    return this
  }

  tick(advanceMs = 1, times = 1): this {
    for (let i = 0; i < times; i++) {
      this.now += advanceMs
      this.send({ type: 'tick', at: this.now, evidence: this.evidence, approvers: this.approvers })
    }
    return this
  }

  answer(deviceId: string, build: (version: number) => Answer): this {
    const version = this.versions.get(deviceId) ?? 0
    return this.send({ type: 'answered', at: this.now, answers: new Map([[deviceId, build(version)]]) })
  }

  order(type: 'start' | 'pause' | 'resume' | 'abort' | 'rollback' | 'retry', who = 'ana'): this {
    return this.send({ type, at: this.now, who, reason: 'because', approvers: this.approvers })
  }

  state(deviceId: string): string {
    return this.rollout.deployments.get(deviceId)!.state
  }

  get waves(): string {
    return this.rollout.waves.map(({ state }) => state).join(' ')
  }

  directed(): string[] {
    return this.actions.flatMap((action) => (action.do === 'direct' ? [...action.deviceIds] : []))
  }

  restored(): string[] {
    return this.actions.flatMap((action) => (action.do === 'restore' ? [...action.deviceIds] : []))
  }
}
