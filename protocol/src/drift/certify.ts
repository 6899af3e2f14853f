import { statisticNames, sum } from './statistics.ts'

/** Fewest reference windows that can be certified. */
const windowsMin = 50
/** Window statistics correlated no more than this kept false alarms at 4.7 % and below (drift reference 6.3). */
const correlationMax = 0.1
const lags = [1, 2]
/** Location, spread and shape: repeats and absences follow from them or have none. */
const lintedStatistics = statisticNames.indexOf('shape') + 1

/**
 * Largest autocorrelation of the reference's window statistics, pairs taken inside each stream. The mean is the
 * one of all streams: devices that differ from each other are as little exchangeable as days that do.
 *
 * @param streams per stream and window, the five statistics
 */
export function worstCorrelation(streams: readonly (readonly (readonly number[])[])[]): number {
  const windows = sum(streams.map((stream) => stream.length))
  let worst = 0
  for (let s = 0; s < lintedStatistics; s++) {
    const values = streams.map((stream) => stream.map((window) => window[s]!))
    for (const lag of lags) {
      const correlation = Math.abs(autocorrelation(values, lag))
      // A longer lag is looked at without a reason, so chance is taken off; the first is always looked at.
      worst = Math.max(worst, lag === 1 ? correlation : correlation - 2 / Math.sqrt(windows))
    }
  }
  return worst
}

/** May alarms about a feature claim a false-alarm bound? (drift reference 2.7) */
export function isCertified(
  windows: number,
  worst: number,
  replayEvidence: number | null,
  alarm: number,
): boolean {
  const isStationary = replayEvidence !== null && replayEvidence < alarm
  return windows >= windowsMin && worst <= correlationMax + 1 / Math.sqrt(windows) && isStationary
}

function autocorrelation(streams: readonly (readonly number[])[], lag: number): number {
  const all = streams.flat()
  const mean = sum(all) / all.length
  const variance = sum(all.map((value) => (value - mean) ** 2))
  if (variance === 0) return 0
  const products = streams.map((values) =>
    sum(values.slice(lag).map((value, t) => (value - mean) * (values[t]! - mean))),
  )
  return sum(products) / variance
}
