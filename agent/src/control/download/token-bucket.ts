import type { DurationMs } from '@godwit/protocol/units'

/**
 * A cap on bytes per second with a second's worth of burst. Debt is allowed and paid by waiting, so that a block
 * larger than the bucket still passes.
 */
export class TokenBucket {
  readonly #bytesPerSecond: number
  #tokens: number
  #atMs: number

  /** @param nowMs monotonic milliseconds */
  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerSecond = bytesPerSecond
    this.#tokens = bytesPerSecond
    this.#atMs = nowMs
  }

  /** Takes the bytes and says how long to wait before taking more. */
  take(bytes: number, nowMs: number): DurationMs {
    const earned = ((nowMs - this.#atMs) * this.#bytesPerSecond) / 1000
    this.#tokens = Math.min(this.#bytesPerSecond, this.#tokens + Math.max(0, earned)) - bytes
    this.#atMs = nowMs
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.#bytesPerSecond)
  }
}
