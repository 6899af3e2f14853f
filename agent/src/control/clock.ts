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
  readonly #foundationMs: EpochMs
  #floor: EpochMs
  /** The floor, or an earlier one and what has passed since in this process: whichever is later. */
  #proved: { ms: EpochMs; atMonotonicMs: number }
  #hubMinusWallMs: number | undefined
  /** It was at least that late when the monotonic clock said so. */
  #least: { ms: EpochMs; atMonotonicMs: number }

  /**
   * @param leastMs what `leastMs` had come to when it was last stored
   * @param foundationMs the part of the floor that hangs on no key of the hub's: when the agent was built and enrolled
   */
  constructor(
    clock: Clock,
    floor: EpochMs,
    store: (floor: EpochMs) => void,
    leastMs: EpochMs = floor,
    foundationMs: EpochMs = 0,
  ) {
    this.#clock = clock
    this.#floor = floor
    this.#proved = { ms: floor, atMonotonicMs: clock.monotonicMs() }
    this.#store = store
    this.#foundationMs = Math.min(floor, foundationMs)
    this.#least = { ms: Math.max(floor, leastMs), atMonotonicMs: clock.monotonicMs() }
  }

  /**
   * For every decision about trust. Proved time goes on by a clock that nobody sets: a wall clock that is set back, or
   * never set at all, makes nothing that expired meanwhile fresh again. One that runs ahead refuses and proves nothing: it
   * moves no floor, so all is well again as soon as it is right.
   */
  nowMs(): EpochMs {
    return Math.max(this.#clock.wallMs(), this.#provedMs())
  }

  #provedMs(): EpochMs {
    const { ms, atMonotonicMs } = this.#proved
    return Math.floor(ms + this.#clock.monotonicMs() - atMonotonicMs)
  }

  /**
   * The earliest that it can be: verified time, and what has passed since by a clock that nobody sets. For ages: a wall
   * clock that jumps a year ahead makes nothing a year old. Time that the device was off counts only once verified.
   */
  leastMs(): EpochMs {
    const { ms, atMonotonicMs } = this.#least
    return Math.floor(ms + this.#clock.monotonicMs() - atMonotonicMs)
  }

  /** The wall clock says less than what is proved: an hour of the day taken from it would be any hour. */
  get isBehind(): boolean {
    return this.#clock.wallMs() < this.#floor
  }

  get floorMs(): EpochMs {
    return this.#floor
  }

  /** Only times out of verified documents may raise it: an invented one would expire everything for ever. */
  raiseFloor(verifiedMs: EpochMs): void {
    if (!(verifiedMs > this.#floor)) return
    this.#store(verifiedMs)
    this.#floor = verifiedMs
    if (verifiedMs > this.#provedMs())
      this.#proved = { ms: verifiedMs, atMonotonicMs: this.#clock.monotonicMs() }
    if (verifiedMs > this.leastMs())
      this.#least = { ms: verifiedMs, atMonotonicMs: this.#clock.monotonicMs() }
  }

  /**
   * A key that had a say in the time was taken away: whoever stole it may have set the floor far ahead, where all that is
   * honest has expired. What still stands raises it again. (`leastMs` stays: it only makes things look older.)
   */
  forgetProofs(): void {
    if (this.#floor === this.#foundationMs) return
    this.#store(this.#foundationMs)
    this.#floor = this.#foundationMs
    this.#proved = { ms: this.#foundationMs, atMonotonicMs: this.#clock.monotonicMs() }
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
