import type { Rollout, Wave } from '../api.ts'
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

/** Only a person makes it go on. */
export function needsPerson({ phase }: Pick<Rollout, 'phase'>): boolean {
  return ['paused', 'draft', 'awaiting_approval'].includes(phase)
}
