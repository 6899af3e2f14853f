/** Failures that cost nothing: fingers slip. */
const freeFailures = 5
const waitMsMin = 1_000
const waitMsMax = 15 * 60_000
/** A name or an address that failed is forgotten after so long without another failure. */
const memoryMs = 60 * 60_000
/** Names and addresses are invented for nothing; beyond this the longest unseen goes. */
const entriesMax = 10_000

/**
 * Makes guessing slow, by name and by address: after a few failures each next one must wait twice as long. In memory:
 * a restart forgives, and guesses that need restarts are slow already.
 */
export class Throttle {
  readonly #failures = new Map<string, { count: number; at: number }>()

  /** How long this key must still wait. Milliseconds; 0: it may try. */
  waitMs(key: string, now: number): number {
    const held = this.#failures.get(key)
    if (!held || held.count <= freeFailures) return 0
    const wait = Math.min(waitMsMax, waitMsMin * 2 ** (held.count - freeFailures - 1))
    return Math.max(0, held.at + wait - now)
  }

  failed(key: string, now: number): void {
    const held = this.#failures.get(key)
    const count = held && now - held.at < memoryMs ? held.count + 1 : 1
    // Put at the end: the first in a map is then the one not heard of for longest.
    this.#failures.delete(key)
    this.#failures.set(key, { count, at: now })
    if (this.#failures.size > entriesMax) this.#failures.delete(this.#failures.keys().next().value!)
  }

  succeeded(key: string): void {
    this.#failures.delete(key)
  }

  /** Takes back one that was counted before it was known to be right. */
  forgive(key: string): void {
    const held = this.#failures.get(key)
    if (held) this.#failures.set(key, { ...held, count: held.count - 1 })
  }
}
