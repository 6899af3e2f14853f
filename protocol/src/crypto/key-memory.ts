import { timingSafeEqual } from 'node:crypto'

/**
 * The few keys that were used last, ready for use. By content and not by identity: a caller may overwrite its array with
 * another key, and must not sign with the one before. Few, because every look compares with all of them.
 */
export class KeyMemory<T> {
  readonly #sizeMax: number
  readonly #make: (bytes: Uint8Array) => T
  /** The last used first. */
  #known: { bytes: Uint8Array; key: T }[] = []

  constructor(sizeMax: number, make: (bytes: Uint8Array) => T) {
    this.#sizeMax = sizeMax
    this.#make = make
  }

  of(bytes: Uint8Array): T {
    const at = this.#known.findIndex((known) => isSame(known.bytes, bytes))
    if (at === 0) return this.#known[0]!.key
    const found = this.#known[at] ?? { bytes: Uint8Array.from(bytes), key: this.#make(bytes) }
    const others = this.#known.filter((known) => known !== found)
    this.#known = [found, ...others.slice(0, this.#sizeMax - 1)]
    return found.key
  }
}

/** Seeds are secrets: how long a look takes must not say how much of one was guessed. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
