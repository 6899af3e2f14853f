import type { TelemetryWindow } from '../api.ts'
import { micros, msOf, unknown } from './format.ts'

export type Series = {
  /** Seconds since 1970, the end of each window. */
  at: number[]
  inferences: (number | null)[]
  p95Ms: (number | null)[]
  joules: (number | null)[]
}

/** Oldest first. A stretch without windows gets an empty point, so that a chart shows a gap and not a slope. */
export function seriesOf(windows: readonly TelemetryWindow[]): Series {
  const series: Series = { at: [], inferences: [], p95Ms: [], joules: [] }
  let before: { start: number; end: number } | undefined
  for (const { window, start, end } of inOrder(windows)) {
    const length = end - start
    if (before && start - before.end > Math.max(1_000, length))
      push(series, (before.end + start) / 2, undefined)
    push(series, end, window)
    before = { start, end }
  }
  return series
}

export function inOrder(
  windows: readonly TelemetryWindow[],
): { window: TelemetryWindow; start: number; end: number }[] {
  return windows
    .flatMap((window) => {
      const [start, end] = [msOf(window.start), msOf(window.end)]
      return start === undefined || end === undefined ? [] : [{ window, start, end }]
    })
    .sort((a, b) => a.end - b.end)
}

function push(series: Series, at: number, window: TelemetryWindow | undefined): void {
  series.at.push(at / 1000)
  series.inferences.push(window?.inferences ?? null)
  series.p95Ms.push(typeof window?.p95Micros === 'number' ? window.p95Micros / 1000 : null)
  series.joules.push(window ? (joulesOf(window) ?? null) : null)
}

/** Latency is counted in buckets, so a quantile is known by its bucket's upper bound. */
export function p95Text({ p95Micros }: TelemetryWindow): string {
  if (typeof p95Micros !== 'number') return unknown
  return p95Micros > latencyMicrosMax ? `> ${micros(latencyMicrosMax)}` : `≤ ${micros(p95Micros)}`
}
const latencyMicrosMax = 1_000_000

/** Above idle. A window that was never metered has no energy, which is not 0 J. */
export function joulesOf(window: TelemetryWindow): number | undefined {
  return window.energy?.coverage === 0 ? undefined : (window.energy?.joules ?? undefined)
}
