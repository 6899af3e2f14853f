import type { FeatureCounts } from './counts.ts'
import type { FeatureProfile } from './profile.ts'

/** The five statistics of a window, in the order of every array indexed by statistic. */
export const statisticNames = ['location', 'spread', 'shape', 'repeat', 'missing'] as const
export type StatisticName = (typeof statisticNames)[number]

/** What the statistics need of a feature; all integers, so that device and hub agree to the bit. */
export type Scores = Pick<FeatureProfile, 'kind' | 'referenceCounts' | 'locationScores' | 'spreadScores'>

/** Location, spread, shape, repeat, missing of one window (drift reference 2.1). Integers. */
export function windowStatistics(scores: Scores, counts: FeatureCounts): number[] {
  const bins =
    scores.kind === 'categorical' ? categorical(scores, counts.counts) : continuous(scores, counts.counts)
  return [...bins, counts.repeat, counts.missing]
}

function continuous(
  { referenceCounts, locationScores, spreadScores }: Scores,
  counts: readonly number[],
): number[] {
  const reference = sum(referenceCounts)
  const present = sum(counts)
  let location = 0
  let spread = 0
  let shape = 0
  let cumulative = 0
  let referenceCumulative = 0
  for (let k = 0; k < counts.length; k++) {
    location += counts[k]! * locationScores[k]!
    spread += counts[k]! * spreadScores[k]!
    cumulative += counts[k]!
    referenceCumulative += referenceCounts[k]!
    shape = Math.max(shape, Math.abs(reference * cumulative - present * referenceCumulative))
  }
  return [location, spread, shape]
}

/** Surprisal, concentration and total variation: what location, spread and shape mean without an order. */
function categorical({ referenceCounts, locationScores }: Scores, counts: readonly number[]): number[] {
  const reference = sum(referenceCounts)
  const present = sum(counts)
  let surprisal = 0
  let concentration = 0
  let variation = 0
  for (let k = 0; k < counts.length; k++) {
    surprisal += counts[k]! * locationScores[k]!
    concentration += counts[k]! * counts[k]!
    variation += Math.abs(reference * counts[k]! - present * referenceCounts[k]!)
  }
  return [surprisal, concentration, variation]
}

export function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) total += value
  return total
}
