/** Repetitions that the self-test times, in rounds: one noisy moment of the machine spoils one round at most. */
const rounds = 5
const repetitionsMax = 40
const repetitionsMin = 3
const warmUps = 3
/** Of one round; keeps the test of a slow model short. */
const roundMsMax = 400

/**
 * The 95th percentile in microseconds of a steady model: the median over rounds, after a warm-up in which memory is
 * first touched and weights are packed.
 */
export async function p95MicrosOf(run: () => Promise<unknown>, monotonicMs: () => number): Promise<number> {
  for (let i = 0; i < warmUps; i++) await run()
  const percentiles: number[] = []
  for (let round = 0; round < rounds; round++) {
    percentiles.push(quantile(await timedRound(run, monotonicMs), 0.95))
  }
  return Math.round(quantile(percentiles, 0.5) * 1000)
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
