import type { DurationMs } from '@godwit/protocol/units'

/**
 * How long somebody has said nothing, by a watch that runs only while we are there to listen: a control process that was
 * itself stopped, or starved, has heard nothing either, and must not take that for the other's silence.
 */
export class Silence {
  readonly #lookMs: DurationMs
  #silentMs = 0
  #lookedAtMs: number

  /** @param lookMs how often `lookedAt` is called; what is much more than that was our own sleep */
  constructor(lookMs: DurationMs, nowMs: number) {
    this.#lookMs = lookMs
    this.#lookedAtMs = nowMs
  }

  broken(): void {
    this.#silentMs = 0
  }

  lookedAt(nowMs: number): DurationMs {
    this.#silentMs += Math.min(nowMs - this.#lookedAtMs, 2 * this.#lookMs)
    this.#lookedAtMs = nowMs
    return this.#silentMs
  }
}
