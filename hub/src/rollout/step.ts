import type { EpochMs } from '@godwit/protocol/units'
import { advance, retreat, turnBack } from './advance.ts'
import {
  type ApprovalEvent,
  type Approvers,
  isApproved,
  questionOf,
  refusalOf,
  withApproval,
  without,
} from './approval.ts'
import { type Answer, type Deployment, hasEnded, hear, isRetryable, moved } from './deployment.ts'
import { calledOff, expired, triedAgain, wasDirected, withDirectives } from './deployments.ts'
import {
  type Action,
  allowedActions,
  isActive,
  type OperatorAction,
  type Order,
  planOfWave,
  type Rollout,
  type RolloutEvent,
  type Step,
  stay,
  toPhase,
} from './rollout.ts'
import { forgiven } from './wave.ts'

/**
 * Decides; never performs. The caller stores `rollout`, then carries out `actions` in order. Every action can be
 * repeated without harm, and what a crash left undone is asked for again by the next tick.
 */
export function step(rollout: Rollout, event: RolloutEvent): Step {
  switch (event.type) {
    case 'tick':
      return tick(rollout, event)
    case 'answered':
      return answered(rollout, event.answers, event.at)
    case 'directed':
      return directed(rollout, event)
    case 'revoked':
      return revoked(rollout, event.deviceId, event.at)
    case 'approve':
    case 'reject':
    case 'withdraw':
      return refusalOf(rollout, event) ? stay(rollout) : said(rollout, event)
    default:
      return allowedActions(rollout).includes(event.type)
        ? operators[event.type](rollout, event)
        : stay(rollout)
  }
}

const operators: Record<OperatorAction, (rollout: Rollout, order: Order & { approvers: Approvers }) => Step> =
  {
    start: (rollout, order) =>
      toPhase(rollout, isApproved(rollout, null, order.approvers) ? 'running' : 'awaiting_approval', order),
    pause: (rollout, order) => toPhase(rollout, 'paused', order),
    resume: (rollout, order) =>
      toPhase(
        { ...rollout, waves: forgiven(rollout.waves, rollout.deployments, order.at) },
        'running',
        order,
      ),
    abort,
    rollback: (rollout, order) => turnBack(rollout, order),
    retry(rollout, { at, who, reason }) {
      const again = new Set(
        [...rollout.deployments.values()].filter(isRetryable).map(({ deviceId }) => deviceId),
      )
      // Who gets another try is judged by it.
      const waves = rollout.waves.map((wave) => ({
        ...wave,
        overruled: wave.overruled.filter((id) => !again.has(id)),
      }))
      const message = `retries ${again.size} devices: ${reason}`
      return {
        rollout: { ...rollout, waves, deployments: triedAgain(rollout.deployments, at) },
        actions: [{ do: 'record', kind: 'retry', who, message }],
      }
    },
  }

function abort(rollout: Rollout, order: Order): Step {
  const unfinished = (d: Deployment) => wasDirected(d) && d.state !== 'succeeded'
  const toRestore = [...rollout.deployments.values()].filter(unfinished).map(({ deviceId }) => deviceId)
  const deployments = calledOff(rollout.deployments, order.at)
  return toPhase({ ...rollout, deployments, toRestore }, 'aborted', order)
}

/** An approver has spoken. What follows from enough approvals is the next tick's to find. */
function said(rollout: Rollout, event: ApprovalEvent): Step {
  const { type, at, who, person, reason, approvers } = event
  const { wave, sha256, given, needed } = questionOf(rollout, approvers)!
  const evidence = { sha256, user: person, ...(wave !== null && { wave }) }
  const record = (kind: string, message: string): Action => ({ do: 'record', kind, who, message, evidence })
  const what = wave === null ? 'the rollout' : `wave ${wave}`
  if (type === 'reject') {
    const ended = abort(rollout, { at, who, reason: `rejected: ${reason}` })
    return {
      rollout: ended.rollout,
      actions: [record('rejected', `rejects ${what}: ${reason}`), ...ended.actions],
    }
  }
  if (type === 'withdraw') {
    const approvals = without(rollout.approvals, { person, wave })
    const message = `withdraws the approval of ${what}: ${reason}`
    return { rollout: { ...rollout, approvals }, actions: [record('withdrawn', message)] }
  }
  // The same person twice counts once.
  if (given.some((approval) => approval.person.id === person.id)) return stay(rollout)
  const approvals = withApproval(rollout.approvals, { person, wave, sha256, at, reason })
  const message = `approves ${what} (${given.length + 1} of ${needed}): ${reason}`
  return { rollout: { ...rollout, approvals }, actions: [record('approved', message)] }
}

function answered(rollout: Rollout, answers: ReadonlyMap<string, Answer>, at: EpochMs): Step {
  if (rollout.phase === 'aborted') return stay(rollout)
  const isBack = rollout.phase === 'rolling_back' || rollout.phase === 'rolled_back'
  const end = isBack ? 'rolled_back' : 'succeeded'
  const heard = [...answers].flatMap(([deviceId, answer]) => {
    const deployment = rollout.deployments.get(deviceId)
    if (!deployment) return []
    const wanted = isBack ? deployment.previous?.releaseDigest : rollout.goal.releaseDigest
    const next = hear(deployment, answer, wanted, end, at)
    // Once it is over, a device may be in other hands: only the late arrival of what was wanted still counts.
    return isActive(rollout) || next.state === end ? next : []
  })
  return changed(rollout, heard)
}

function directed(rollout: Rollout, event: Extract<RolloutEvent, { type: 'directed' }>): Step {
  const asked = new Set(event.deviceIds)
  const deployments = withDirectives(rollout.deployments, asked, event.versions, event.at)
  const toRestore = rollout.toRestore.filter((id) => !asked.has(id))
  return stay({ ...rollout, deployments, toRestore })
}

function revoked(rollout: Rollout, deviceId: string, at: EpochMs): Step {
  const deployment = rollout.deployments.get(deviceId)
  if (!deployment || hasEnded(deployment)) return stay(rollout)
  return changed(rollout, [moved(deployment, 'skipped', at, null, 'the device was revoked')])
}

/** The same rollout when nothing changed. */
function changed(rollout: Rollout, all: readonly Deployment[]): Step {
  const news = all.filter((deployment) => rollout.deployments.get(deployment.deviceId) !== deployment)
  if (news.length === 0) return stay(rollout)
  const deployments = new Map(rollout.deployments)
  for (const deployment of news) deployments.set(deployment.deviceId, deployment)
  return stay({ ...rollout, deployments })
}

type Tick = Extract<RolloutEvent, { type: 'tick' }>

function tick(rollout: Rollout, event: Tick): Step {
  const { at, approvers } = event
  switch (rollout.phase) {
    case 'awaiting_approval':
      return isApproved(rollout, null, approvers) ? released(rollout, at, approvers) : stay(rollout)
    case 'scheduled':
      if (!isApproved(rollout, null, approvers)) {
        const reason = 'too few approvals still count'
        return toPhase(rollout, 'awaiting_approval', { at, who: 'hub', reason })
      }
      return at >= (rollout.plan.startAt ?? 0)
        ? toPhase(rollout, 'running', { at, who: 'hub', reason: 'its time has come' })
        : stay(rollout)
    case 'running':
      return advance(timedOut(rollout, at), event)
    case 'paused':
      return stay(timedOut(rollout, at))
    case 'rolling_back':
      return retreat(timedOut(rollout, at), at)
    case 'aborted':
      return rollout.toRestore.length === 0
        ? stay(rollout)
        : { rollout, actions: [{ do: 'restore', deviceIds: rollout.toRestore }] }
    default:
      return stay(rollout)
  }
}

/** Approval first, then the schedule. */
function released(rollout: Rollout, at: EpochMs, approvers: Approvers): Step {
  const names = (questionOf(rollout, approvers)?.given ?? []).map(({ person }) => person.name)
  const reason = names.length > 0 ? `approved by ${names.join(' and ')}` : 'no approval is asked for any more'
  const phase = (rollout.plan.startAt ?? 0) > at ? 'scheduled' : 'running'
  return toPhase(rollout, phase, { at, who: 'hub', reason })
}

function timedOut(rollout: Rollout, at: EpochMs): Rollout {
  const deadlineMsOf = (wave: number) => planOfWave(rollout, wave).deadlineMs
  const deployments = expired(rollout.deployments, deadlineMsOf, at)
  return deployments === rollout.deployments ? rollout : { ...rollout, deployments }
}
