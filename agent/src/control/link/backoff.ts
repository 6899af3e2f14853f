import type { DurationMs } from '@godwit/protocol/units'

export type BackoffLimits = { backoffMsMin: DurationMs; backoffMsMax: DurationMs }

/** A link that lasted this long has earned a quick next try; a shorter one has not (update-protocol 5.1). */
export const stableMs = 60_000

/**
 * Full jitter: any time between nothing and the ceiling, which doubles with each failure. A fleet that lost its hub at
 * one moment comes back spread out, not in step.
 *
 * @param failures connections in a row that failed or did not become stable, 1 for the first
 * @param random from [0, 1)
 * @param spreadMs what the hub asked for (its `retryAfterMs`), used where it is more
 */
export function backoffMs(failures: number, limits: BackoffLimits, random: number, spreadMs = 0): DurationMs {
  const doubled = limits.backoffMsMin * 2 ** Math.min(30, Math.max(0, failures - 1))
  const ceiling = Math.max(Math.min(limits.backoffMsMax, doubled), spreadMs)
  return Math.floor(random * ceiling)
}
