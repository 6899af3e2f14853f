import { Bell } from './bell.ts'
import type { Reading, Source } from './source.ts'

type Place = { pending: Reading[] }

/**
 * A bounded queue between something that cannot be positioned and the model. What waits in it is part of the position:
 * a successor begins with it, so that a swap loses and repeats nothing. When it is full the oldest gives way, counted.
 */
export class Inbox implements Source {
  readonly #sizeMax: number
  readonly #pending: Reading[]
  readonly #close: () => Promise<void>
  readonly #bell = new Bell()
  #dropped = 0
  #isEnded = false

  constructor(sizeMax: number, cursor: unknown, close: () => Promise<void>) {
    this.#sizeMax = sizeMax
    this.#pending = pendingOf(cursor)
    this.#close = close
  }

  get length(): number {
    return this.#pending.length
  }

  put(reading: Reading): void {
    this.#pending.push(reading)
    // The newest says most about how things stand.
    if (this.#pending.length > this.#sizeMax) {
      this.#pending.shift()
      this.#dropped++
    }
    this.#bell.ring()
  }

  /** Nothing comes after what waits. */
  end(): void {
    this.#isEnded = true
    this.#bell.ring()
  }

  async next(signal: AbortSignal) {
    while (this.#pending.length === 0) {
      if (signal.aborted) throw signal.reason
      if (this.#isEnded) return undefined
      await this.#bell.rung(signal)
    }
    if (signal.aborted) throw signal.reason
    return { reading: this.#pending.shift()!, cursor: undefined }
  }

  position(): Place {
    return { pending: [...this.#pending] }
  }

  dropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }

  close(): Promise<void> {
    return this.#close()
  }
}

/** A cursor of another kind of source is none: nothing waits. */
export function pendingOf(cursor: unknown): Reading[] {
  const pending = (cursor as Partial<Place> | null | undefined)?.pending
  return Array.isArray(pending) ? pending.filter(isReading) : []
}

/** JSON has null for a number that was none. */
function isReading(value: unknown): value is Reading {
  const { at, values } = (value ?? {}) as Partial<Reading>
  return typeof at === 'number' && typeof values === 'object' && values !== null
}
