import type { Counter, MeterReading } from './meter.ts'

export interface PowerSample {
  readonly atMs: number
  readonly watts: number
}

/** A reading and the monotonic moment it was taken, in ms. */
export interface Sample {
  readonly atMs: number
  readonly reading: MeterReading
}

/** A piece of the series: energy, or a gap of known length. A gap is not 0 J. */
export interface Stretch {
  readonly durationMs: number
  readonly joules: number | undefined
}

/** Two power readings further apart than this say nothing about the time between them. Ten missed one-second samples. */
const INSTANT_MS_MAX = 10_000

/**
 * Energy above `idleWatts` by the trapezoid rule.
 *
 * Unit: joule. May come out negative when the meter is noisier than the load is hungry; that is left as it is, so
 * that averages stay honest.
 *
 * @param samples in time order, at least two; the first and the last bracket the stretch
 */
export function trapezoidJoules(samples: readonly PowerSample[], idleWatts = 0): number {
  let joules = 0
  for (let i = 1; i < samples.length; i++) {
    const [from, to] = [samples[i - 1]!, samples[i]!]
    joules += ((from.watts + to.watts) / 2 - idleWatts) * ((to.atMs - from.atMs) / 1000)
  }
  return joules
}

/**
 * Joules a cumulative counter moved, or undefined for a gap.
 *
 * A counter that ran backwards wrapped only if nothing else can explain it: its range is known, the read before this
 * one worked, and too little time passed for a second wrap. Otherwise it was reset, and the energy is unknown.
 * Forwards has the same doubt when a whole turn fits into the time between.
 */
export function counterDeltaJoules(
  before: Counter,
  after: Counter,
  passed: { elapsedMs: number; wattsMax: number; readFailedBetween: boolean },
): number | undefined {
  const range = after.rangeJoules
  const mayHaveTurned = range > 0 && (passed.elapsedMs / 1000) * passed.wattsMax >= range
  if (mayHaveTurned) return undefined
  if (after.joules >= before.joules) {
    // Without a range nothing vouches for a counter that was out of sight: it may have been reset meanwhile.
    return range === 0 && passed.readFailedBetween ? undefined : after.joules - before.joules
  }
  if (range <= 0 || passed.readFailedBetween || before.joules > range) return undefined
  return after.joules + range - before.joules
}

/** What lies between two good samples. `readFailedBetween` says whether a read failed after the first of them. */
export function stretchBetween(
  before: Sample,
  after: Sample,
  circumstances: { readFailedBetween: boolean; wattsMax: number },
): Stretch {
  const durationMs = Math.max(0, after.atMs - before.atMs)
  return {
    durationMs,
    joules: durationMs > 0 ? joulesBetween(before, after, durationMs, circumstances) : undefined,
  }
}

function joulesBetween(
  { atMs: fromMs, reading: from }: Sample,
  { atMs: toMs, reading: to }: Sample,
  elapsedMs: number,
  { readFailedBetween, wattsMax }: { readFailedBetween: boolean; wattsMax: number },
): number | undefined {
  // A model's reading already speaks for the whole stretch: CPU time is itself a counter and bridges a missed read.
  if (to.kind === 'interval') return (to.watts * elapsedMs) / 1000
  if (to.kind === 'instant' && from.kind === 'instant') {
    if (readFailedBetween || elapsedMs > INSTANT_MS_MAX) return undefined
    return trapezoidJoules([
      { atMs: fromMs, watts: from.watts },
      { atMs: toMs, watts: to.watts },
    ])
  }
  if (to.kind === 'counters' && from.kind === 'counters' && to.counters.length === from.counters.length) {
    const deltas = to.counters.map((counter, i) =>
      counterDeltaJoules(from.counters[i]!, counter, { elapsedMs, wattsMax, readFailedBetween }),
    )
    // One domain missing makes the sum a lower bound that nobody asked for.
    return deltas.reduce<number | undefined>(
      (sum, delta) => (sum === undefined || delta === undefined ? undefined : sum + delta),
      0,
    )
  }
  return undefined
}
