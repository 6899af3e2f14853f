import { toRfc3339 } from '@godwit/protocol/units'
import type { FastifyRequest } from 'fastify'
import {
  type Approval,
  type Approvers,
  approvalDeeds,
  type Person,
  questionOf,
  refusalOf,
} from '../../rollout/approval.ts'
import type { Deployment } from '../../rollout/deployment.ts'
import { countsOf } from '../../rollout/deployments.ts'
import { allowedActions, type Rollout } from '../../rollout/rollout.ts'
import type { RolloutEntry, StoredRollout } from '../../rollout/rollout-store.ts'
import { verdictSentence } from '../../rollout/sentence.ts'

/** The person who asks; a program's own token has none. */
export function userOf({ caller }: FastifyRequest): Person | undefined {
  return caller?.user
}

/** @param viewer the user who asks; absent: a program, which approves nothing */
export function rolloutView({ rollout, head }: StoredRollout, approvers: Approvers, viewer?: Person) {
  const { id, slot, goal, plan, phase, since, reason, waves, deployments } = rollout
  return {
    id,
    model: goal.model,
    version: goal.version,
    releaseDigest: goal.releaseDigest,
    slot,
    selector: head.selector,
    phase,
    since: toRfc3339(since),
    reason: reason && { ...reason, at: toRfc3339(reason.at) },
    sentence: verdictSentence(rollout, approvers),
    counts: countsOf(deployments),
    waves: waves.map(({ name, state, since, gates }, index) => ({
      name,
      state,
      since: toRfc3339(since),
      counts: countsOf(deployments, index),
      gates,
    })),
    allowedActions: allowedActions(rollout),
    approval: approvalView(rollout, approvers, viewer),
    approvals: rollout.approvals.map(givenView),
    plan,
    revision: head.revision,
    createdAt: toRfc3339(head.createdAt),
    createdBy: head.createdBy,
    updatedAt: toRfc3339(head.updatedAt),
  }
}

/** What is asked, what is there, who could give the rest, and what the one who asks may do. Null: nothing is asked. */
function approvalView(rollout: Rollout, approvers: Approvers, viewer: Person | undefined) {
  const question = questionOf(rollout, approvers)
  if (!question) return null
  const { wave, sha256, needed, missing, given, others } = question
  const hasGiven = given.some(({ person }) => person.id === viewer?.id)
  const allowedDeeds = approvalDeeds.filter(
    (type) =>
      viewer &&
      !(type === 'approve' && hasGiven) &&
      !refusalOf(rollout, { type, person: viewer, sha256, approvers }),
  )
  return { wave, sha256, needed, missing, given: given.map(givenView), couldApprove: others, allowedDeeds }
}

function givenView({ person, wave, sha256, at, reason }: Approval) {
  return { user: person, wave, sha256, at: toRfc3339(at), reason }
}

export function deploymentView(deployment: Deployment) {
  const { deviceId, wave, state, since, directiveVersion, previous, code, detail } = deployment
  const { model, version, releaseDigest } = previous ?? {}
  const ref = previous && { model, version, releaseDigest }
  return { deviceId, wave, state, code, detail, directiveVersion, previous: ref, updatedAt: toRfc3339(since) }
}

export function entryView(entry: RolloutEntry) {
  return { ...entry, at: toRfc3339(entry.at) }
}
