import type { Clock } from '../clock.ts'
import { Repeats } from '../repeats.ts'
import type { Database } from '../store/database.ts'
import type { Audit } from '../trust/audit.ts'

/** Attempts that were refused, on record without letting an attacker write the record full. */
export class FailureLog {
  readonly #database: Database
  readonly #audit: Audit
  readonly #clock: Clock
  readonly #repeats = new Repeats(1_000)

  constructor(database: Database, audit: Audit, clock: Clock) {
    this.#database = database
    this.#audit = audit
    this.#clock = clock
  }

  /** @param subject an account that exists, or what all the others are called: invented names share one place */
  async note(action: string, subject: string, because: string, address: string): Promise<void> {
    const moreBefore = this.#repeats.heard(`${action} ${subject} ${because}`, this.#clock())
    if (moreBefore === undefined) return
    const detail = { because, address, ...(moreBefore > 0 && { moreBefore }) }
    await this.#database.transaction((trx) =>
      this.#audit.append(trx, { who: 'anonymous', action, subject, detail }),
    )
  }
}
