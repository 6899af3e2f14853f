/** Repetitions that the self-test times, in rounds: one noisy moment of the machine spoils one round at most. */
const rounds = 5
const repetitionsMax = 40
const repetitionsMin = 3
const warmUps = 3
/** Of one round; keeps the test of a slow model short. */
const roundMsMax = 400

/** Of one inference, in microseconds. `cpuMicros` counts all threads. */
export type Times = { p50Micros: number; p95Micros: number; cpuMicros: number }

/** Where times come from: the wall in milliseconds, this process's CPU in microseconds. Both only ever rise. */
export type Stopwatch = { monotonicMs: () => number; cpuMicros: () => number }

/**
 * Percentiles of a steady model: the medians over rounds, after a warm-up in which memory is first touched and weights
 * are packed.
 */
export async function timesOf(run: () => Promise<unknown>, watch: Stopwatch): Promise<Times> {
  for (let i = 0; i < warmUps; i++) await run()
  const timed: number[][] = []
  const cpuBefore = watch.cpuMicros()
  for (let round = 0; round < rounds; round++) timed.push(await timedRound(run, watch.monotonicMs))
  const cpuMicros = watch.cpuMicros() - cpuBefore
  const typical = (share: number) =>
    Math.round(
      quantile(
        timed.map((durations) => quantile(durations, share)),
        0.5,
      ) * 1000,
    )
  return {
    p50Micros: typical(0.5),
    p95Micros: typical(0.95),
    cpuMicros: Math.round(cpuMicros / timed.reduce((count, { length }) => count + length, 0)),
  }
}

/** Runs as often as goes into that time, so that a meter has something to see. */
export async function runFor(
  run: () => Promise<unknown>,
  durationMs: number,
  monotonicMs: () => number,
): Promise<{ count: number; elapsedMs: number }> {
  const startMs = monotonicMs()
  for (let count = 1; ; count++) {
    await run()
    const elapsedMs = monotonicMs() - startMs
    if (elapsedMs >= durationMs) return { count, elapsedMs }
  }
}

async function timedRound(run: () => Promise<unknown>, monotonicMs: () => number): Promise<number[]> {
  const durations: number[] = []
  const startMs = monotonicMs()
  while (durations.length < repetitionsMax) {
    const before = monotonicMs()
    await run()
    const after = monotonicMs()
    durations.push(after - before)
    if (durations.length >= repetitionsMin && after - startMs > roundMsMax) break
  }
  return durations
}

/** Nearest rank: always one of the values. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}
