import type { EpochMs } from '@godwit/protocol/units'
import { type Approvers, isApproved } from './approval.ts'
import { hasEnded } from './deployment.ts'
import { areAtWork, asDirected, countsOf, nextInLine, ofWave, turnedBack } from './deployments.ts'
import { judge } from './judge.ts'
import {
  type Action,
  currentWave,
  type Order,
  planOfWave,
  type Rollout,
  type RolloutEvent,
  type Step,
  stay,
  toPhase,
  toWave,
  withWave,
} from './rollout.ts'
import { failureSentence } from './sentence.ts'
import { isClosed, nextState } from './wave.ts'

/** One move of one wave per tick, so that every state is on record before the next is decided. */
export function advance(
  rollout: Rollout,
  { at, evidence, approvers }: Extract<RolloutEvent, { type: 'tick' }>,
): Step {
  const index = currentWave(rollout)
  if (index === undefined) {
    const { succeeded = 0 } = countsOf(rollout.deployments)
    const reason = `all ${rollout.waves.length} waves passed; ${succeeded} devices updated`
    return toPhase(rollout, 'completed', { at, who: 'hub', reason })
  }
  const wave = rollout.waves[index]!
  if (isClosed(wave)) return open(rollout, index, at, approvers)
  const plan = planOfWave(rollout, index)
  const gates = judge(plan, ofWave(rollout.deployments, index), evidence, wave.overruled)
  const judged = withWave(rollout, index, { gates })
  const state = nextState({ ...wave, gates }, plan, areAtWork(rollout.deployments, index), at)
  if (state === 'failed') return fail(judged, index, at)
  if (state !== wave.state) {
    const isVerdict = state === 'passed' || state === 'held'
    return toWave(judged, index, { state }, at, isVerdict ? gates : undefined)
  }
  return state === 'open' ? direct(judged, index, at) : stay(judged)
}

function open(rollout: Rollout, index: number, at: EpochMs, approvers: Approvers): Step {
  const { name, state } = rollout.waves[index]!
  if (isApproved(rollout, name, approvers))
    return toWave(rollout, index, { state: 'open', judgedFrom: at }, at)
  return state === 'pending' ? toWave(rollout, index, { state: 'awaiting_approval' }, at) : stay(rollout)
}

function direct(rollout: Rollout, index: number, at: EpochMs): Step {
  const { deployments, plan } = rollout
  const chosen = nextInLine(deployments, plan.maxInFlight, (d) => d.wave <= index)
  if (chosen.length === 0) return stay(rollout)
  const actions: Action[] = []
  for (const force of [false, true]) {
    const deviceIds = chosen.filter(({ code }) => (code !== null) === force).map(({ deviceId }) => deviceId)
    if (deviceIds.length > 0) actions.push({ do: 'direct', deviceIds, force })
  }
  return { rollout: { ...rollout, deployments: asDirected(deployments, chosen, at) }, actions }
}

/** The way back, as many at a time as on the way there. */
export function retreat(rollout: Rollout, at: EpochMs): Step {
  const { deployments, plan } = rollout
  const chosen = nextInLine(deployments, plan.maxInFlight)
  if (chosen.length > 0) {
    const deviceIds = chosen.map(({ deviceId }) => deviceId)
    const directed = { ...rollout, deployments: asDirected(deployments, chosen, at) }
    return { rollout: directed, actions: [{ do: 'restore', deviceIds }] }
  }
  if (![...deployments.values()].every(hasEnded)) return stay(rollout)
  const { rolled_back = 0, unreached = 0, failed = 0 } = countsOf(deployments)
  const rest = `${unreached} not reached, ${failed} failed`
  const reason = `${rolled_back} devices are back on their previous release; ${rest}`
  return toPhase(rollout, 'rolled_back', { at, who: 'hub', reason })
}

function fail(rollout: Rollout, index: number, at: EpochMs): Step {
  const { gates } = rollout.waves[index]!
  const failed = toWave(rollout, index, { state: 'failed' }, at, gates)
  const reason = failureSentence(gates, ofWave(rollout.deployments, index))
  const order = { at, who: 'hub', reason }
  const next =
    rollout.plan.onFailure === 'rollback'
      ? turnBack(failed.rollout, order, gates)
      : toPhase(failed.rollout, 'paused', order, gates)
  return { rollout: next.rollout, actions: [...failed.actions, ...next.actions] }
}

/** From here on every device that was told is to run its previous release again. */
export function turnBack(rollout: Rollout, order: Order, evidence?: unknown): Step {
  const deployments = turnedBack(rollout.deployments, order.at)
  return toPhase({ ...rollout, deployments, toRestore: [] }, 'rolling_back', order, evidence)
}
