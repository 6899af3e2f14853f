import type { Clock } from '../clock.ts'
import type { Database } from '../store/database.ts'
import type { Audit } from '../trust/audit.ts'

/** Whoever keeps failing is one entry a minute, with a count: the audit keeps everything for ever. */
const quietMs = 60_000
const entriesMax = 1_000

/** Attempts that were refused, on record without letting an attacker write the record full. */
export class FailureLog {
  readonly #database: Database
  readonly #audit: Audit
  readonly #clock: Clock
  readonly #last = new Map<string, { at: number; more: number }>()

  constructor(database: Database, audit: Audit, clock: Clock) {
    this.#database = database
    this.#audit = audit
    this.#clock = clock
  }

  /** @param subject an account that exists, or what all the others are called: invented names share one place */
  async note(action: string, subject: string, because: string, address: string): Promise<void> {
    const key = `${action} ${subject} ${because}`
    const at = this.#clock()
    const last = this.#last.get(key)
    if (last && at - last.at < quietMs) {
      last.more++
      return
    }
    if (this.#last.size >= entriesMax) this.#last.clear()
    this.#last.set(key, { at, more: 0 })
    const detail = { because, address, ...(last && last.more > 0 && { moreBefore: last.more }) }
    await this.#database.transaction((trx) =>
      this.#audit.append(trx, { who: 'anonymous', action, subject, detail }),
    )
  }
}
