import type { DurationMs } from '@godwit/protocol/units'

export type RefusalLimits = {
  /** Closes in a row, right after the same message, before it is suspected. */
  closesMax: number
  /** From the publish to the close. A refusal comes at once; this leaves room for a slow uplink. */
  rightAfterMs: DurationMs
  /** So long a connection without the suspect must live before the suspect is tried again. More than `rightAfterMs`. */
  trialMs: DurationMs
  quarantineMs: DurationMs
}

export const refusalLimits: RefusalLimits = {
  closesMax: 4,
  rightAfterMs: 3_000,
  trialMs: 10_000,
  quarantineMs: 60 * 60_000,
}

/**
 * MQTT 3.1.1 cannot say no to a publish; a broker closes the connection instead. An outbox that sends the same message
 * again at every connect would then never get anything else through. A link that flaps looks much the same, so a
 * suspect is convicted by experiment only: the connection must live without it, and die of it once more.
 *
 * Expects one message at a time, so that a close has one suspect at most. Times are monotonic milliseconds.
 */
export class RefusedPublishes {
  readonly #limits: RefusalLimits
  readonly #closes = new Map<string, number>()
  readonly #onTrial = new Set<string>()
  readonly #untilMs = new Map<string, number>()
  #upSinceMs: number | undefined
  #unanswered: { key: string; sentAtMs: number } | undefined
  #answers = 0

  constructor(limits: RefusalLimits = refusalLimits) {
    this.#limits = limits
  }

  /** A connection is up. Returns after how long those on trial may be sent; undefined when none is. */
  opened(nowMs: number): DurationMs | undefined {
    this.#upSinceMs = nowMs
    this.#unanswered = undefined
    this.#answers = 0
    return this.#onTrial.size > 0 ? this.#limits.trialMs : undefined
  }

  sent(key: string, nowMs: number): void {
    this.#unanswered = { key, sentAtMs: nowMs }
  }

  /** @param key absent for a message that may be lost: its answer shows that the link works, no more */
  answered(key?: string): void {
    this.#answers++
    if (key === undefined) return
    if (this.#unanswered?.key === key) this.#unanswered = undefined
    this.#closes.delete(key)
    this.#onTrial.delete(key)
    this.#untilMs.delete(key)
  }

  /** Returns what is quarantined from now on. */
  closed(nowMs: number): string[] {
    if (this.#upSinceMs === undefined) return []
    const hasOutlivedTrial = nowMs - this.#upSinceMs >= this.#limits.trialMs
    const suspect = this.#suspect(nowMs)
    this.#upSinceMs = undefined
    this.#unanswered = undefined
    const isConvicted = suspect !== undefined && hasOutlivedTrial && this.#onTrial.has(suspect)
    // Whatever else was on trial has not been the cause of this close.
    this.#onTrial.clear()
    for (const key of this.#closes.keys()) if (key !== suspect) this.#closes.delete(key)
    if (suspect === undefined) return []
    if (isConvicted) {
      this.#untilMs.set(suspect, nowMs + this.#limits.quarantineMs)
      return [suspect]
    }
    const closes = (this.#closes.get(suspect) ?? 0) + 1
    this.#closes.set(suspect, closes)
    if (closes >= this.#limits.closesMax) this.#onTrial.add(suspect)
    return []
  }

  isWithheld(key: string, nowMs: number): boolean {
    const livedMs = nowMs - (this.#upSinceMs ?? nowMs)
    if (this.#onTrial.has(key) && livedMs < this.#limits.trialMs) return true
    const until = this.#untilMs.get(key)
    if (until === undefined) return false
    if (nowMs < until) return true
    this.#untilMs.delete(key)
    return false
  }

  /** Only where other messages were taken: a link on which nothing gets through says nothing about any of them. */
  #suspect(nowMs: number): string | undefined {
    const { key, sentAtMs } = this.#unanswered ?? {}
    if (key === undefined || sentAtMs === undefined || this.#answers === 0) return undefined
    return nowMs - sentAtMs <= this.#limits.rightAfterMs ? key : undefined
  }
}
