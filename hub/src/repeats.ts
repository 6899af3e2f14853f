import type { EpochMs } from '@godwit/protocol/units'

/** Whoever repeats himself is one entry a minute, with a count: what goes on record stays there for ever. */
const quietMs = 60_000

/** Keeps a record from being written full by what it is a record of. */
export class Repeats {
  readonly #keysMax: number
  readonly #last = new Map<string, { at: EpochMs; more: number }>()

  /** @param keysMax so that inventing keys does not fill our memory instead of the record */
  constructor(keysMax: number) {
    this.#keysMax = keysMax
  }

  /** How often it came since it last went on record; undefined: it is not to go there again yet. */
  heard(key: string, at: EpochMs): number | undefined {
    const last = this.#last.get(key)
    if (last && at - last.at < quietMs) {
      last.more++
      return undefined
    }
    if (this.#last.size >= this.#keysMax) this.#last.clear()
    this.#last.set(key, { at, more: 0 })
    return last?.more ?? 0
  }
}
