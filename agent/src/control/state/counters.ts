import type { EpochMs } from '@godwit/protocol/units'
import type { Database } from './database.ts'

export type CounterName = 'connection' | 'report'

/**
 * Strictly increasing numbers, stored before they are used. A disk that takes no writes must not cut the device off:
 * then the numbers go on in memory, from the clock, which is ahead of anything counted one by one.
 */
export class Counters {
  readonly #database: Database
  readonly #nowMs: () => EpochMs
  readonly #last = new Map<CounterName, number>()

  constructor(database: Database, nowMs: () => EpochMs) {
    this.#database = database
    this.#nowMs = nowMs
  }

  advance(name: CounterName): number {
    const stored = this.#read(name)
    // A database made anew starts beyond every number that the lost one gave out.
    const least = Math.max(stored, this.#last.get(name) ?? 0)
    const value = least === 0 ? Math.max(1, Math.floor(this.#nowMs() / 1000)) : least + 1
    this.#last.set(name, value)
    try {
      this.#database.run(
        'INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
        name,
        value,
      )
    } catch {
      return this.#inMemory(name, value)
    }
    return value
  }

  #inMemory(name: CounterName, value: number): number {
    const ahead = Math.max(value, Math.floor(this.#nowMs() / 1000))
    this.#last.set(name, ahead)
    return ahead
  }

  #read(name: CounterName): number {
    try {
      return Number(this.#database.get('SELECT value FROM counter WHERE name = ?', name)?.['value'] ?? 0)
    } catch {
      return 0
    }
  }
}
