import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { EpochMs } from '@godwit/protocol/units'
import type { Device } from '../fleet/device.ts'
import { isListed } from '../registry/model.ts'
import type { Services } from '../services.ts'
import { orderOf, waveCounts } from './cohort.ts'
import type { Deployment } from './deployment.ts'
import { mistakesOfPlan, type Plan, type PlanMistake, type PlanRequest, planOf } from './plan.ts'
import type { Rollout, RolloutPhase } from './rollout.ts'
import { parseSelector, type Requirement, selects } from './selector.ts'
import type { Wave } from './wave.ts'

export type CreateRequest = {
  model: string
  version: string
  slot: string
  selector: string
  plan: PlanRequest
  /** Kept as a draft until it is started. */
  draft: boolean
  /** The user who asks; absent: a program does. */
  creatorId?: string
}
export type CreateRefusal =
  | 'unknown-version'
  | 'not-listed'
  | 'bad-plan'
  | 'bad-selector'
  | 'no-targets'
  | 'conflict'
  | 'no-profile'
export type Prepared =
  | { ready: true; rollout: Rollout }
  | { ready: false; because: CreateRefusal; mistakes: PlanMistake[] }

type Needs = Pick<Services, 'registry' | 'fleet' | 'directives'>

/**
 * Works out who would get what, and refuses what could only go wrong later. Writes nothing.
 *
 * @param approvalsMin how many approvals this hub asks for, whatever the plan says
 */
export async function prepare(
  needs: Needs,
  request: CreateRequest,
  { id, at, approvalsMin }: { id: string; at: EpochMs; approvalsMin: number },
): Promise<Prepared> {
  const { model, version, slot } = request
  const found = await needs.registry.version(model, version)
  if (!found) return refuse('unknown-version', '#/version', `there is no ${model} ${version}`)
  if (!isListed(found))
    return refuse(
      'not-listed',
      '#/version',
      `${model} ${version} is not listed by signed targets: devices would refuse it`,
    )
  const plan = withApprovals(planOf(request.plan), approvalsMin)
  const mistakes = mistakesOfPlan(plan)
  if (mistakes.length > 0) return { ready: false, because: 'bad-plan', mistakes }
  const missing = await missingProfile(needs, request, plan)
  if (missing) return missing
  const selector = parseSelector(request.selector)
  if (!selector.ok) return refuse('bad-selector', '#/selector', selector.detail)

  const { releaseDigest, releaseBytes } = found
  const { probation, installWindows } = plan
  const release = { model, version, releaseDigest, releaseBytes }
  const goal: SlotGoal = { ...release, probation, ...(installWindows && { installWindows }) }
  const members = await membersOf(needs, selector.requirements)
  const targets = members.filter((device) => runningDigest(device, slot) !== releaseDigest)
  if (targets.length === 0) {
    const why =
      members.length === 0 ? 'no device matches' : `all ${members.length} devices run ${version} already`
    return refuse('no-targets', '#/selector', `selector "${request.selector}": ${why}`)
  }
  const { creatorId = null } = request
  const base = { id, slot, goal, plan, creatorId, since: at, reason: null, approvals: [], toRestore: [] }
  const phase = request.draft ? 'draft' : firstPhase(plan, at)
  const { waves, deployments } = await assign(needs, base, targets, at)
  return { ready: true, rollout: { ...base, phase, waves, deployments } }
}

/** In the plan itself, so that it says what it takes and the approved hash covers it. */
function withApprovals(plan: Plan, approvalsMin: number): Plan {
  return approvalsMin > (plan.approvals?.count ?? 0) ? { ...plan, approvals: { count: approvalsMin } } : plan
}

function firstPhase({ approvals, startAt = 0 }: Plan, at: EpochMs): RolloutPhase {
  if (approvals) return 'awaiting_approval'
  return startAt > at ? 'scheduled' : 'running'
}

function refuse(because: CreateRefusal, pointer: string, detail: string): Prepared {
  return { ready: false, because, mistakes: [{ pointer, detail }] }
}

/** Such a gate could never pass, so the rollout would hold for ever; better to say so now. */
async function missingProfile(
  needs: Needs,
  request: CreateRequest,
  plan: Plan,
): Promise<Prepared | undefined> {
  const wave = plan.waves.findIndex(({ gates }) => gates.some(({ metric }) => metric === 'drift_evidence'))
  if (wave < 0) return undefined
  const release = await needs.registry.release(request.model, request.version)
  if (release?.profile !== undefined) return undefined
  const detail = `${request.model} ${request.version} has no reference profile, so drift cannot be judged`
  return refuse('no-profile', `#/plan/waves/${wave}/gates`, detail)
}

const page = 500

async function membersOf(needs: Needs, requirements: readonly Requirement[]): Promise<Device[]> {
  const members: Device[] = []
  let after: string | undefined
  for (;;) {
    const devices = await needs.fleet.devices({ limit: page, ...(after === undefined ? {} : { after }) })
    members.push(...devices.filter((d) => d.revokedAt === undefined && selects(requirements, d)))
    if (devices.length < page) return members
    after = devices[devices.length - 1]!.id
  }
}

export function runningDigest(device: Device, slot: string): string | undefined {
  return device.report?.slots[slot]?.active?.releaseDigest
}

async function assign(
  needs: Needs,
  base: Pick<Rollout, 'id' | 'slot' | 'plan'>,
  targets: readonly Device[],
  at: EpochMs,
) {
  const { plan, id } = base
  const stratumOf = (device: Device) => (plan.stratifyBy && device.labels[plan.stratifyBy]) || ''
  const queue = orderOf(
    id,
    targets.map((device) => ({ id: device.id, stratum: stratumOf(device) })),
  )
  const counts = waveCounts(
    plan.waves.map(({ size }) => size),
    queue.length,
  )
  // A wave that finds nobody left could never be judged: it is not there.
  const waves = plan.waves
    .filter((_, i) => counts[i]! > 0)
    .map(
      ({ name }): Wave => ({ name, state: 'pending', since: at, judgedFrom: at, overruled: [], gates: [] }),
    )
  const waveOf = counts.filter((count) => count > 0).flatMap((count, wave) => Array<number>(count).fill(wave))
  const previous = await previousGoals(needs, base, targets)
  const deployments = new Map<string, Deployment>()
  queue.forEach((deviceId, place) => {
    const wave = waveOf[place]
    if (wave === undefined) return
    const fresh = { state: 'pending', since: at, directiveVersion: null, code: null, detail: null } as const
    deployments.set(deviceId, { deviceId, wave, previous: previous.get(deviceId) ?? null, ...fresh })
  })
  return { waves, deployments }
}

/**
 * What a device goes back to: what it really runs. Its goal may be a release that it has refused, and going back to
 * that would be no way back at all.
 */
async function previousGoals(
  needs: Needs,
  { slot, plan }: Pick<Rollout, 'slot' | 'plan'>,
  targets: readonly Device[],
) {
  const byDigest = new Map<string, SlotGoal | undefined>()
  const goals = new Map<string, SlotGoal>()
  for (const device of targets) {
    const set = (await needs.directives.goalsOf(device.id))[slot]
    const running = runningDigest(device, slot)
    if (running === undefined || running === set?.releaseDigest) {
      const { force: _, ...goal } = set ?? {}
      if (set && running !== undefined) goals.set(device.id, goal as SlotGoal)
      continue
    }
    if (!byDigest.has(running)) {
      const found = await needs.registry.versionByDigest(running)
      byDigest.set(
        running,
        found && {
          model: found.model,
          version: found.version,
          releaseDigest: running,
          releaseBytes: found.releaseBytes,
          probation: plan.probation,
        },
      )
    }
    const goal = byDigest.get(running)
    if (goal) goals.set(device.id, goal)
  }
  return goals
}
