import { latencyBucketMicros } from '@godwit/protocol/messages/telemetry'

/** Stands for "longer than the largest bucket": larger than every limit that a plan may set. Microseconds. */
export const beyondBucketsMicros = latencyBucketMicros[latencyBucketMicros.length - 1]! + 1

/**
 * The upper bound of the bucket that holds the quantile, in microseconds: never less than the true value, at most one
 * bucket (a factor of about 1.6) more. Null when nothing was counted.
 *
 * @param counts one per bucket and one for the rest
 * @param share 0..1; 0.95 for the 95th percentile
 */
export function quantileMicros(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  const rank = Math.max(1, Math.ceil(share * total))
  let seen = 0
  for (let k = 0; k < counts.length; k++) {
    seen += counts[k]!
    if (seen >= rank) return latencyBucketMicros[k] ?? beyondBucketsMicros
  }
  return beyondBucketsMicros
}

/** Adds in place: histograms over the same bounds are merged by addition. */
export function addCounts(into: number[], counts: readonly number[]): number[] {
  counts.forEach((count, k) => {
    into[k] = (into[k] ?? 0) + count
  })
  return into
}
