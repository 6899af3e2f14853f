import { sha256Hex } from '@godwit/protocol/release/blocks'
import { utf8 } from '@godwit/protocol/trust/encoding'
import type { EpochMs } from '@godwit/protocol/units'
import { jcsText } from './jcs.ts'
import type { Rollout } from './rollout.ts'

export type Person = { readonly id: string; readonly name: string }

/** One person's yes to exactly what `sha256` names. */
export type Approval = {
  readonly person: Person
  /** Null: the rollout as a whole. */
  readonly wave: string | null
  readonly sha256: string
  readonly at: EpochMs
  readonly reason: string
}

/** Whose approval counts at this moment, and how many this hub asks for at least. */
export type Approvers = { readonly minimum: number; readonly people: readonly Person[] }
export const nobody: Approvers = { minimum: 0, people: [] }

export const approvalDeeds = ['approve', 'reject', 'withdraw'] as const
export type ApprovalDeed = (typeof approvalDeeds)[number]
export type ApprovalEvent = {
  type: ApprovalDeed
  at: EpochMs
  who: string
  person: Person
  /** What the person looked at. An approval without it is none. */
  sha256: string | undefined
  reason: string
  approvers: Approvers
}

/** What is up for approval: the rollout before it starts, or the wave that waits to open. */
export type Question = {
  wave: string | null
  needed: number
  sha256: string
  /** What counts now: the hash is the present one, and the person may approve at this moment. */
  given: readonly Approval[]
  missing: number
  /** Who could give what is missing. */
  others: readonly Person[]
}

export function questionOf(rollout: Rollout, approvers: Approvers): Question | undefined {
  const wave = waveInQuestion(rollout)
  const needed = wave === undefined ? 0 : neededFor(rollout, wave, approvers)
  if (wave === undefined || needed === 0) return undefined
  const given = givenFor(rollout, wave, approvers)
  const hasGiven = ({ id }: Person) => given.some(({ person }) => person.id === id)
  return {
    ...{ wave, needed, given },
    sha256: sha256Of(rollout, wave),
    missing: Math.max(0, needed - given.length),
    others: approvers.people.filter((person) => person.id !== rollout.creatorId && !hasGiven(person)),
  }
}

/** Undefined: nothing is. Approvals are taken until the deed is done, so also while a start is only scheduled. */
function waveInQuestion({ phase, waves }: Rollout): string | null | undefined {
  if (phase === 'awaiting_approval' || phase === 'scheduled') return null
  if (phase !== 'running' && phase !== 'paused') return undefined
  return waves.find(({ state }) => state === 'awaiting_approval')?.name
}

function neededFor({ plan }: Rollout, wave: string | null, { minimum }: Approvers): number {
  if (wave === null) return Math.max(plan.approvals?.count ?? 0, minimum)
  return plan.waves.find(({ name }) => name === wave)?.approvals?.count ?? 0
}

/** Enough of them, by those who may approve now: asked again at every start, so a person who left counts no longer. */
export function isApproved(rollout: Rollout, wave: string | null, approvers: Approvers): boolean {
  const needed = neededFor(rollout, wave, approvers)
  return needed === 0 || givenFor(rollout, wave, approvers).length >= needed
}

function givenFor(rollout: Rollout, wave: string | null, { people }: Approvers): Approval[] {
  const { approvals, creatorId } = rollout
  const able = new Set(people.map(({ id }) => id).filter((id) => id !== creatorId))
  const said = approvals.filter((approval) => approval.wave === wave && able.has(approval.person.id))
  if (said.length === 0) return []
  const sha256 = sha256Of(rollout, wave)
  return said.filter((approval) => approval.sha256 === sha256)
}

export type ApprovalRefusal = 'not-waiting' | 'creator' | 'not-approver' | 'other-plan' | 'not-given'

/** Undefined: it may be done. The one answer: the step obeys it, routes explain it, pages render it. */
export function refusalOf(
  rollout: Rollout,
  { type, person, sha256, approvers }: Pick<ApprovalEvent, 'type' | 'person' | 'sha256' | 'approvers'>,
): { because: ApprovalRefusal; detail: string } | undefined {
  const { id, phase, creatorId, approvals } = rollout
  const question = questionOf(rollout, approvers)
  if (!question)
    return { because: 'not-waiting', detail: `rollout ${id} is ${phase}: it asks for no approval` }
  const { wave, sha256: present } = question
  if (person.id === creatorId) {
    const detail = `${person.name} created rollout ${id}: somebody else must look at it`
    return { because: 'creator', detail }
  }
  if (!approvers.people.some((one) => one.id === person.id))
    return { because: 'not-approver', detail: `${person.name} has not the role approver` }
  if (sha256 === undefined ? type === 'approve' : sha256 !== present) {
    const detail = `what was looked at has SHA-256 ${sha256 ?? 'unknown'}; rollout ${id} is now ${present}`
    return { because: 'other-plan', detail }
  }
  const hasSaid = approvals.some((approval) => approval.wave === wave && approval.person.id === person.id)
  if (type === 'withdraw' && !hasSaid)
    return { because: 'not-given', detail: `${person.name} has given no approval that could be withdrawn` }
  return undefined
}

export function withApproval(approvals: readonly Approval[], added: Approval): Approval[] {
  return [...without(approvals, added), added]
}

export function without(
  approvals: readonly Approval[],
  { person, wave }: Pick<Approval, 'person' | 'wave'>,
): Approval[] {
  return approvals.filter((approval) => approval.person.id !== person.id || approval.wave !== wave)
}

/**
 * What is approved, to the byte: which release goes into which slot of which devices, in which waves, under which plan.
 * Spelled as RFC 8785 says, so that anybody can take the hash again.
 */
export function subjectText(rollout: Rollout, wave: string | null): string {
  const { id, slot, goal, plan, deployments } = rollout
  const waves = rollout.waves.map(({ name }) => ({ name, devices: [] as string[] }))
  for (const deployment of deployments.values()) waves[deployment.wave]?.devices.push(deployment.deviceId)
  for (const { devices } of waves) devices.sort()
  return jcsText({ rollout: id, slot, goal, plan, waves, ...(wave !== null && { wave }) })
}

export function sha256Of(rollout: Rollout, wave: string | null): string {
  return sha256Hex(utf8(subjectText(rollout, wave)))
}
