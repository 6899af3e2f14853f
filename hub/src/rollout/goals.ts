import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Services } from '../services.ts'
import type { Action, Rollout } from './rollout.ts'

type Directives = Pick<Services['directives'], 'setGoal' | 'removeGoal' | 'goalsOf'>
type Versions = Map<string, number>

/** Has the directives signed that an action asks for. Answers their versions; devices that got none are not in it. */
export function setGoals(
  directives: Directives,
  rollout: Rollout,
  action: Exclude<Action, { do: 'record' }>,
): Promise<Versions> {
  const { deviceIds } = action
  if (action.do === 'restore') return restore(directives, rollout, deviceIds)
  return set(directives, rollout, deviceIds, { ...rollout.goal, ...(action.force && { force: true }) })
}

function set(
  directives: Directives,
  { id, slot, plan }: Rollout,
  deviceIds: readonly string[],
  goal: SlotGoal,
): Promise<Versions> {
  return directives.setGoal(deviceIds, slot, goal, { who: `rollout:${id}`, windowMs: plan.windowMs })
}

/** Takes back only what is this rollout's own: a goal that somebody has set since stays. */
async function restore(
  directives: Directives,
  rollout: Rollout,
  deviceIds: readonly string[],
): Promise<Versions> {
  const { id, slot, goal, deployments } = rollout
  const groups = new Map<string, { previous: SlotGoal | null; deviceIds: string[] }>()
  for (const deviceId of deviceIds) {
    const previous = deployments.get(deviceId)?.previous ?? null
    const present = (await directives.goalsOf(deviceId))[slot]?.releaseDigest
    if (present !== goal.releaseDigest && present !== previous?.releaseDigest) continue
    const key = JSON.stringify(previous)
    const group = groups.get(key) ?? { previous, deviceIds: [] }
    group.deviceIds.push(deviceId)
    groups.set(key, group)
  }
  const versions: Versions = new Map()
  for (const { previous, deviceIds } of groups.values()) {
    const signed = previous
      ? await set(directives, rollout, deviceIds, atOnce(previous))
      : await directives.removeGoal(deviceIds, slot, { who: `rollout:${id}` })
    for (const [deviceId, version] of signed) versions.set(deviceId, version)
  }
  return versions
}

/** Somebody takes a release back because it does harm: that is no matter for the next quiet night. */
function atOnce({ installWindows: _, ...goal }: SlotGoal): SlotGoal {
  return goal
}
