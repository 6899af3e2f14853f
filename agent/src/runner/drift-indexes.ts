import type { CountersSnapshot } from '@godwit/protocol/drift/counters'
import type { Checkpoint } from './messages.ts'

type Indexes = Readonly<Record<string, number>>

/** More than a device has reason to go back to; about 2 kB in a checkpoint. */
export const releasesMax = 32

/** What the hub has seen of each release, so that an index never means two windows (`takeWindow` wants them to rise). */
export function driftNextOf(checkpoint: Checkpoint | undefined): Indexes {
  const { drift, driftNext = {} } = checkpoint ?? {}
  return drift
    ? withIndex(driftNext, drift.releaseDigest, (drift.state as CountersSnapshot).index)
    : driftNext
}

/** With the newest last and, beyond `releasesMax`, without the oldest. Undefined: a release that counts nothing. */
export function withIndex(known: Indexes, releaseDigest: string, next: number | undefined) {
  if (next === undefined) return { ...known }
  const { [releaseDigest]: before = 0, ...others } = known
  const entries = Object.entries({ ...others, [releaseDigest]: Math.max(before, next) })
  return Object.fromEntries(entries.slice(-releasesMax))
}
