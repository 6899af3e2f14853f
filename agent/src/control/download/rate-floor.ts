import type { DurationMs } from '@godwit/protocol/units'

/**
 * Slow retrieval: a source that drips keeps a device from its update without ever failing. It is left when the bytes of
 * a whole window were fewer than the least rate comes to. Pauses that we make ourselves are taken out.
 */
export class RateFloor {
  readonly #bytesPerSecondMin: number
  readonly #windowMs: DurationMs
  #sinceMs: number
  #bytes = 0
  #pausedMs = 0

  /** @param nowMs monotonic milliseconds */
  constructor(bytesPerSecondMin: number, windowMs: DurationMs, nowMs: number) {
    this.#bytesPerSecondMin = bytesPerSecondMin
    this.#windowMs = windowMs
    this.#sinceMs = nowMs
  }

  received(bytes: number): void {
    this.#bytes += bytes
  }

  paused(ms: DurationMs): void {
    this.#pausedMs += ms
  }

  /** To be asked several times a window; each full window is judged once. */
  isTooSlow(nowMs: number): boolean {
    const activeMs = nowMs - this.#sinceMs - this.#pausedMs
    if (activeMs < this.#windowMs) return false
    const isTooSlow = this.#bytes * 1_000 < this.#bytesPerSecondMin * activeMs
    this.#sinceMs = nowMs
    this.#bytes = 0
    this.#pausedMs = 0
    return isTooSlow
  }
}
