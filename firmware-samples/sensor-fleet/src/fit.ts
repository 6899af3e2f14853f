import { type AnomalyModel, featuresOf, type Regime, scoreFeatures } from './anomaly-model.ts'
import { cholesky, invertLower, median, moments, quantileOfSorted, sortedCopy } from './linear-algebra.ts'

/** What the fit is told beforehand. None of it was chosen by looking at the labels. */
export const fitSettings = {
  regimes: 8,
  /**
   * Share of the training windows that may be strange: the strangest this many take no part in a fit. A trainer has
   * no labels, so it assumes that something happened, and that it was rare.
   */
  strangeShare: 0.02,
  levelRounds: 15,
  regimeRounds: 12,
  /** Added to every standard deviation (in feature units), so that no regime becomes a needle. */
  ridge: 0.05,
}

/** Fits the mixture of regimes. Deterministic: no random start, ties go to the earlier window. */
export function fitModel(windows: readonly Float32Array[], window: number, width: number): AnomalyModel {
  const scales = fitScales(windows, window, width)
  const rows = windows.map((w) => featuresOf(scales, w))
  let regimes = groupByLevel(rows).map((group) => fitRegime(group))
  for (let round = 0; round < fitSettings.regimeRounds; round++) {
    const groups = groupByRegime(rows, regimes)
    regimes = groups.map((group) => fitRegime(group))
  }
  return { ...scales, regimes }
}

/** Median and half the span of the middle 68 %: a kettle moves neither. */
function fitScales(
  windows: readonly Float32Array[],
  window: number,
  width: number,
): Omit<AnomalyModel, 'regimes'> {
  const last = (window - 1) * width
  const fieldIndexes = Array.from({ length: width }, (_, f) => f)
  const levels = fieldIndexes.map((f) => sortedCopy(windows.map((w) => w[last + f]!)))
  const steps = fieldIndexes.map((f) => sortedCopy(windows.map((w) => w[last + f]! - w[last - width + f]!)))
  return {
    window,
    levelCentre: levels.map((sorted) => quantileOfSorted(sorted, 0.5)),
    levelScale: levels.map(halfMiddle),
    stepScale: steps.map(halfMiddle),
  }
}

/** Never below 0.001: a constant field must not divide by zero. */
function halfMiddle(sorted: Float64Array): number {
  return Math.max(1e-3, (quantileOfSorted(sorted, 0.84) - quantileOfSorted(sorted, 0.16)) / 2)
}

/** First guess: k-means over the levels alone, from starts as far from one another as can be. */
function groupByLevel(rows: readonly Float64Array[]): Float64Array[][] {
  const kept = withoutStrangest(rows, (row) => row[0]! ** 2 + row[1]! ** 2)
  let centres = farthestPoints(kept, fitSettings.regimes)
  let groups: Float64Array[][] = []
  for (let round = 0; round < fitSettings.levelRounds; round++) {
    groups = centres.map(() => [])
    for (const row of kept) groups[nearest(centres, row)]!.push(row)
    centres = groups.map((group, k) => (group.length > 0 ? levelMean(group) : centres[k]!))
  }
  return groups.filter(isEnough)
}

function groupByRegime(rows: readonly Float64Array[], regimes: readonly Regime[]): Float64Array[][] {
  const groups: Float64Array[][] = regimes.map(() => [])
  const scored = rows.map((row) => ({ row, ...scoreFeatures(regimes, row) }))
  for (const { row, regime } of withoutStrangest(scored, (s) => s.score)) groups[regime]!.push(row)
  return groups.filter(isEnough)
}

/** A covariance of d features wants several times d windows; a smaller group joins its neighbours next round. */
function isEnough(group: readonly Float64Array[]): boolean {
  return group.length > 0 && group.length >= 4 * group[0]!.length
}

function fitRegime(rows: readonly Float64Array[]): Regime {
  const d = rows[0]!.length
  const { mean, covariance } = moments(rows)
  for (let i = 0; i < d; i++) covariance[i * d + i]! += fitSettings.ridge ** 2
  const lower = cholesky(covariance, d)
  const whitener = invertLower(lower, d)
  let logVolume = 0
  const offset = new Float64Array(d)
  for (let i = 0; i < d; i++) {
    logVolume += (2 * Math.log(lower[i * d + i]!)) / d
    for (let j = 0; j <= i; j++) offset[i]! += whitener[i * d + j]! * mean[j]!
  }
  const regime: Regime = { whitener, offset, logVolume, radius: 1 }
  return { ...regime, radius: median(rows.map((row) => scoreFeatures([regime], row).score)) }
}

function withoutStrangest<T>(items: readonly T[], strangeness: (item: T) => number): T[] {
  const values = items.map(strangeness)
  const limit = quantileOfSorted(sortedCopy(values), 1 - fitSettings.strangeShare)
  return items.filter((_, i) => values[i]! <= limit)
}

function levelDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return (a[0]! - b[0]!) ** 2 + (a[1]! - b[1]!) ** 2
}

function farthestPoints(rows: readonly Float64Array[], count: number): Float64Array[] {
  const toOrigin = rows.map((row) => levelDistance(row, [0, 0]))
  const centres = [rows[toOrigin.indexOf(Math.min(...toOrigin))]!]
  const distances = rows.map(() => Number.POSITIVE_INFINITY)
  while (centres.length < Math.min(count, rows.length)) {
    let farthest = 0
    rows.forEach((row, i) => {
      distances[i] = Math.min(distances[i]!, levelDistance(row, centres.at(-1)!))
      if (distances[i]! > distances[farthest]!) farthest = i
    })
    centres.push(rows[farthest]!)
  }
  return centres
}

function nearest(centres: readonly Float64Array[], row: Float64Array): number {
  let best = 0
  for (let k = 1; k < centres.length; k++) {
    if (levelDistance(centres[k]!, row) < levelDistance(centres[best]!, row)) best = k
  }
  return best
}

function levelMean(group: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(2)
  for (const row of group) for (let f = 0; f < 2; f++) mean[f]! += row[f]! / group.length
  return mean
}
