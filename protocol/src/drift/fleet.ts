import { type DriftWindow, mergeCounts } from './counts.ts'

/** False discoveries tolerated in a fleet's list, as a share of it. */
export const fleetLevelDefault = 0.1

/**
 * Which of a fleet's streams stand out, by e-BH (Wang and Ramdas 2009.02824): the expected share of false ones
 * among them is at most `level`, whatever the dependence between devices and features.
 *
 * Holds for evidence read at a scheduled time. A list of latched peaks must pass through `adjustedPeak` first.
 *
 * @returns indices into `evidence`, strongest first
 */
export function discoveries(evidence: readonly number[], level = fleetLevelDefault): number[] {
  const order = evidence.map((_, i) => i).sort((a, b) => evidence[b]! - evidence[a]!)
  let found = 0
  for (let k = 1; k <= order.length; k++) {
    if (k * evidence[order[k - 1]!]! * level >= order.length) found = k
  }
  return order.slice(0, found)
}

/**
 * Turns the highest evidence ever reached back into evidence: (m - 1 - ln m) / (ln m)^2, 0 below 1.
 * A peak chosen in hindsight is not an e-value; this pays for the hindsight (2501.19360).
 */
export function adjustedPeak(peak: number): number {
  if (peak < 1) return 0
  const log = Math.log(peak)
  // Near 1 the quotient cancels to noise; its power series does not.
  if (log < 0.01) return 1 / 2 + log / 6 + log ** 2 / 24 + log ** 3 / 120 + log ** 4 / 720
  return (peak - 1 - log) / log ** 2
}

/**
 * One window of a whole cohort: the counts of its devices added up, to be tested against the cohort's own first
 * windows. It tells "the world changed" (the cohort drifts) from "this device did" (only the device does).
 *
 * @param windows one per device, all of the same index and the same bundle
 * @param devices how many devices the cohort counts; null unless each sent exactly this window, because windows
 *   of different size cannot be ranked among each other
 */
export function cohortWindow(windows: readonly DriftWindow[], devices: number): DriftWindow | null {
  const [first, ...others] = windows
  if (!first || windows.length !== devices || others.some(({ index }) => index !== first.index)) return null
  return others.reduce(mergeWindows, first)
}

function mergeWindows(a: DriftWindow, b: DriftWindow): DriftWindow {
  const features: DriftWindow['features'] = {}
  for (const [name, counts] of Object.entries(a.features)) {
    const other = b.features[name]
    if (other) features[name] = mergeCounts(counts, other)
  }
  return { index: a.index, features }
}
