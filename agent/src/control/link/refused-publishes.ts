/** Closes in a row, with the same message on its way, before the message is taken for the cause. */
const closesMax = 4
const quarantineMs = 60 * 60_000

/**
 * MQTT 3.1.1 cannot say no to a publish; a broker closes the connection instead. An outbox that sends the same message
 * again at every connect would then never get anything else through. So a message that was unanswered at several
 * closes in a row is left out for an hour. An outage looks the same for a while; it costs that hour at worst.
 */
export class RefusedPublishes {
  readonly #closes = new Map<string, number>()
  readonly #untilMs = new Map<string, number>()

  /** @param keys what was published and not yet taken when the connection closed; returns those now quarantined */
  closedWith(keys: readonly string[], nowMs: number): string[] {
    const suspects = new Set(keys)
    for (const key of this.#closes.keys()) if (!suspects.has(key)) this.#closes.delete(key)
    const condemned: string[] = []
    for (const key of suspects) {
      const closes = (this.#closes.get(key) ?? 0) + 1
      this.#closes.set(key, closes)
      if (closes < closesMax) continue
      this.#closes.delete(key)
      this.#untilMs.set(key, nowMs + quarantineMs)
      condemned.push(key)
    }
    return condemned
  }

  taken(key: string): void {
    this.#closes.delete(key)
    this.#untilMs.delete(key)
  }

  isQuarantined(key: string, nowMs: number): boolean {
    const until = this.#untilMs.get(key)
    if (until === undefined) return false
    if (nowMs < until) return true
    this.#untilMs.delete(key)
    return false
  }
}
