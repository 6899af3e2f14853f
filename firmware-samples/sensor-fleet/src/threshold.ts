import { quantileOfSorted, sortedCopy } from './linear-algebra.ts'
import { secondsPerReading } from './motes.ts'

/** The budget that the threshold is set for: one false alarm per mote and day. */
export const falseAlarmsPerDay = 1

/**
 * Where to call a score an event, from unlabelled training scores: an exponential tail is laid through their 90 % and
 * 98 % quantiles and followed to the level that the budget allows to be exceeded. What lies above the 98 % quantile
 * may be events and has no say.
 *
 * Unit: score. Real tails are heavier than exponential, so expect the budget to be overdrawn; the card counts by how much.
 */
export function thresholdFrom(scores: readonly number[]): number {
  const sorted = sortedCopy(scores)
  const low = quantileOfSorted(sorted, 0.9)
  const high = quantileOfSorted(sorted, 0.98)
  const scale = (high - low) / Math.log(0.1 / 0.02)
  const readingsPerDay = 86_400 / secondsPerReading
  return high + scale * Math.log((0.02 * readingsPerDay) / falseAlarmsPerDay)
}
