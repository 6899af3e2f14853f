import type { EpochMs } from '@godwit/protocol/units'

/** Time comes in from outside. `wallMs` may jump; `monotonicMs` only grows, but starts anywhere. */
export type Clock = { wallMs(): EpochMs; monotonicMs(): number }

export const systemClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }

/**
 * A device without a battery-backed clock wakes up in 1970, where every certificate is still valid. So the earliest
 * possible time is remembered: it never sinks, and "now" is never before it (update-protocol 5.4).
 */
export class TrustedTime {
  readonly #clock: Clock
  readonly #store: (floor: EpochMs) => void
  #floor: EpochMs
  #hubMinusWallMs: number | undefined

  constructor(clock: Clock, floor: EpochMs, store: (floor: EpochMs) => void) {
    this.#clock = clock
    this.#floor = floor
    this.#store = store
  }

  /** For every decision about trust. */
  nowMs(): EpochMs {
    return Math.max(this.#clock.wallMs(), this.#floor)
  }

  get floorMs(): EpochMs {
    return this.#floor
  }

  /** Only times out of verified documents may raise it: an invented one would expire everything for ever. */
  raiseFloor(verifiedMs: EpochMs): void {
    if (!(verifiedMs > this.#floor)) return
    this.#store(verifiedMs)
    this.#floor = verifiedMs
  }

  /** What the hub says the time is, unsigned: good for the report and for tokens that the hub itself judges. */
  heardHubTime(hubMs: EpochMs): void {
    if (Number.isFinite(hubMs)) this.#hubMinusWallMs = hubMs - this.#clock.wallMs()
  }

  /** Device minus hub in milliseconds, for the report; undefined before the hub's time was heard. */
  get skewMs(): number | undefined {
    return this.#hubMinusWallMs === undefined ? undefined : Math.round(-this.#hubMinusWallMs)
  }

  /** The time that the hub will compare a token with. */
  hubNowMs(): EpochMs {
    return this.#hubMinusWallMs === undefined
      ? this.nowMs()
      : Math.round(this.#clock.wallMs() + this.#hubMinusWallMs)
  }
}
