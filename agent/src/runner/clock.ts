import type { DurationMs, EpochMs } from '@godwit/protocol/units'

/** Time as an argument. `monotonicMs` has an arbitrary zero and is never set back. */
export type Clock = {
  now(): EpochMs
  monotonicMs(): number
  /** Calls once after that long; the answer cancels. */
  after(ms: DurationMs, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

/** Rejects with the signal's reason as soon as that aborts. */
export function sleep(clock: Clock, ms: DurationMs, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = () => {
      cancel()
      reject(signal.reason)
    }
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
