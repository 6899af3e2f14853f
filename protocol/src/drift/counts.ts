import Type, { type Static } from 'typebox'
import { Fault } from '../fault.ts'
import { Count, mapOf } from '../schema.ts'
import { binsMax, binsOf, type FeatureProfile } from './profile.ts'
import { sum } from './statistics.ts'

/** One feature's share of a window. `counts` and `missing` add up to the slots; `outside` lies within them. */
export const FeatureCounts = Type.Object({
  counts: Type.Array(Count, { minItems: 1, maxItems: binsMax }),
  /** Values equal to the one before them in this window: a stuck sensor. */
  repeat: Count,
  /** Absent, not finite, or a category the reference never saw. */
  missing: Count,
  /** Values beyond the smallest and largest of the reference, or unseen categories. For display, not betting. */
  outside: Count,
})
export type FeatureCounts = Static<typeof FeatureCounts>

/** How a feature's values are sorted into bins. */
export type Binning = Pick<FeatureProfile, 'name' | 'kind' | 'edges' | 'support'>

/** `windowSize` slots in a row, per feature of the profile. `index` counts up for as long as a device knows the release, also when it comes back after another one. */
export const DriftWindow = Type.Object({ index: Count, features: mapOf(FeatureCounts) })
export type DriftWindow = Static<typeof DriftWindow>

/** The sum of two windows, or of two devices: integer counts of the same profile simply add. */
export function mergeCounts(a: FeatureCounts, b: FeatureCounts): FeatureCounts {
  if (a.counts.length !== b.counts.length) {
    throw new Fault(
      'drift-counts-differ',
      `cannot add ${b.counts.length} bins to ${a.counts.length}: two profiles?`,
    )
  }
  return {
    counts: a.counts.map((count, k) => count + b.counts[k]!),
    repeat: a.repeat + b.repeat,
    missing: a.missing + b.missing,
    outside: a.outside + b.outside,
  }
}

/** What is wrong with counts that claim to cover `slots` slots; null when nothing is. A device may say anything. */
export function countsProblem(feature: Binning, counts: FeatureCounts, slots: number): string | null {
  const bins = binsOf(feature)
  if (counts.counts.length !== bins) return `${feature.name}: ${counts.counts.length} bins, expected ${bins}`
  const numbers = [...counts.counts, counts.repeat, counts.missing, counts.outside]
  if (!numbers.every((n) => Number.isSafeInteger(n) && n >= 0))
    return `${feature.name}: counts must be integers >= 0`
  const seen = sum(counts.counts) + counts.missing
  if (seen !== slots) return `${feature.name}: ${seen} slots, expected ${slots}`
  if (counts.repeat > slots || counts.outside > slots)
    return `${feature.name}: more repeats or outliers than slots`
  return null
}
