import type { EpochMs } from '@godwit/protocol/units'
import type { Database } from './database.ts'

export type CounterName = 'connection' | 'report'

/**
 * Strictly increasing numbers, stored before they are used. A disk that takes no writes must not cut the device off:
 * then they go on in memory, and whoever starts next cannot know how far. So the first number of a process is never
 * below the clock's seconds: nothing here is counted faster than that, and a hub would not hear a number told before.
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
    const least = this.#last.get(name) ?? Math.floor(this.#nowMs() / 1000) - 1
    const value = Math.max(this.#read(name), least, 0) + 1
    this.#last.set(name, value)
    try {
      this.#database.run(
        'INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
        name,
        value,
      )
    } catch {
      // Used all the same; see above.
    }
    return value
  }

  #read(name: CounterName): number {
    try {
      return Number(this.#database.get('SELECT value FROM counter WHERE name = ?', name)?.['value'] ?? 0)
    } catch {
      return 0
    }
  }
}
