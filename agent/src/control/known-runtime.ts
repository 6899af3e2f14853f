import { opsetMaxOf, type Runtime, unknownRuntime } from './birth.ts'
import { attempt, type Log } from './log.ts'
import type { Database } from './state/database.ts'
import { readMeta, writeMeta } from './state/memory.ts'

/** What runs models here, as last seen: a birth says it before the first runner of this start has come up. */
export class KnownRuntime {
  readonly #database: Database
  readonly #log: Log
  #current: Runtime

  constructor(database: Database, log: Log) {
    this.#database = database
    this.#log = log
    this.#current = JSON.parse(readMeta(database, 'runtime') ?? 'null') ?? unknownRuntime
  }

  get current(): Runtime {
    return this.#current
  }

  get isKnown(): boolean {
    return this.#current.name !== unknownRuntime.name
  }

  /** Undefined: the model itself decides. */
  get opsetMax(): number | undefined {
    return opsetMaxOf(this.#current) || undefined
  }

  learn(found: Runtime): void {
    const text = JSON.stringify(found)
    if (text === JSON.stringify(this.#current)) return
    this.#current = found
    attempt(this.#log, 'cannot store the runtime', () => writeMeta(this.#database, 'runtime', text))
  }
}
