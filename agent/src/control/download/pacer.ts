import type { DurationMs } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import type { Budget } from './budget.ts'
import { pause } from './pause.ts'
import { TokenBucket } from './token-bucket.ts'

/** The rate caps, of the configuration and of the link's class: one for everything that downloads on this device. */
export class Pacer {
  readonly #budget: Budget
  readonly #clock: Clock
  readonly #bytesPerSecondMax: number
  #bucket: { rate: number; tokens: TokenBucket } | undefined

  constructor(budget: Budget, clock: Clock, bytesPerSecondMax = Number.POSITIVE_INFINITY) {
    this.#budget = budget
    this.#clock = clock
    this.#bytesPerSecondMax = bytesPerSecondMax
  }

  /** Returns how long it has paused. @param isPaid the bytes came over the link, not from next door */
  async pace(bytes: number, isPaid: boolean, signal: AbortSignal): Promise<DurationMs> {
    const ofClass = isPaid ? this.#budget.limits.bytesPerSecondMax : undefined
    const rate = Math.min(ofClass ?? Number.POSITIVE_INFINITY, this.#bytesPerSecondMax)
    if (rate === Number.POSITIVE_INFINITY) return 0
    const nowMs = this.#clock.monotonicMs()
    if (this.#bucket?.rate !== rate) this.#bucket = { rate, tokens: new TokenBucket(rate, nowMs) }
    const waitMs = this.#bucket.tokens.take(bytes, nowMs)
    if (waitMs > 0) await pause(waitMs, signal)
    return waitMs
  }
}
