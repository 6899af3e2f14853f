import type { ApprovalQuestion, Rollout, Session, Wave } from '../api.ts'
import { plural } from './format.ts'
import { signOf, type Tone } from './words.ts'

/** Devices by state. */
export type Counts = Readonly<Record<string, number>>

export function countsOf(waves: readonly Wave[] | null | undefined): Counts {
  const sum: Record<string, number> = {}
  for (const { counts } of waves ?? []) {
    for (const [state, n] of Object.entries(counts ?? {})) sum[state] = (sum[state] ?? 0) + n
  }
  return sum
}

export function totalOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0)
}

export function withTone(counts: Counts, tone: Tone): number {
  return totalOf(Object.fromEntries(Object.entries(counts).filter(([state]) => signOf(state).tone === tone)))
}

/** Not over: something may still move by itself or by a person. */
export function isActive({ phase }: Pick<Rollout, 'phase'>): boolean {
  return !['ok', 'bad'].includes(signOf(phase).tone)
}

export function mayOperate({ roles }: Pick<Session, 'roles'>): boolean {
  return roles.includes('operator') || roles.includes('admin')
}

/** Only a person makes it go on. */
export function needsPerson({ phase, waves }: Pick<Rollout, 'phase' | 'waves'>): boolean {
  if (phase === 'running') return (waves ?? []).some(({ state }) => state === 'awaiting_approval')
  return ['paused', 'draft', 'awaiting_approval'].includes(phase)
}

/** How many are there, and who could give what is missing. */
export function approvalText({ wave, needed, missing, couldApprove }: ApprovalQuestion): string {
  const count = `${needed - missing} of ${plural(needed, 'approval')} of ${wave ? `wave ${wave}` : 'the rollout'}`
  if (missing <= 0) return `${count} given.`
  const names = couldApprove.map(({ name }) => name)
  if (names.length === 0) return `${count} given; nobody could give more: make somebody an approver.`
  const rest = names.length > 5 ? [...names.slice(0, 4), `${names.length - 4} others`] : names
  const who = rest.length === 1 ? rest[0] : `${rest.slice(0, -1).join(', ')} or ${rest.at(-1)}`
  const more = names.length < missing ? ' – too few: make somebody an approver' : ''
  return `${count} given; ${who} could give what is missing${more}.`
}
