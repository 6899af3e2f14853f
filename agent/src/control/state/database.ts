import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Fault } from '@godwit/protocol/fault'
import type { EpochMs } from '@godwit/protocol/units'
import { schemaVersion, tables } from './tables.ts'

export type Row = Record<string, SQLInputValue>

/** node:sqlite with prepared statements kept, transactions that nest, and faults that name the file. */
export class Database {
  readonly path: string
  readonly #sqlite: DatabaseSync
  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>()
  #depth = 0

  constructor(path: string, sqlite: DatabaseSync) {
    this.path = path
    this.#sqlite = sqlite
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#attempt(() => Number(this.#prepare(sql).run(...values).changes))
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#attempt(() => this.#prepare(sql).get(...values) as Row | undefined)
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#attempt(() => this.#prepare(sql).all(...values) as Row[])
  }

  /** All or nothing. `work` is synchronous, so nobody else's statement can slip into it. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work()
    this.#attempt(() => this.#sqlite.exec('BEGIN IMMEDIATE'))
    this.#depth = 1
    try {
      const result = work()
      this.#attempt(() => this.#sqlite.exec('COMMIT'))
      return result
    } catch (error) {
      // A full disk may have rolled back already; saying it twice is no harm.
      if (this.#sqlite.isTransaction) this.#sqlite.exec('ROLLBACK')
      throw error
    } finally {
      this.#depth = 0
    }
  }

  close(): void {
    this.#statements.clear()
    this.#sqlite.close()
  }

  #prepare(sql: string) {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.#sqlite.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #attempt<T>(work: () => T): T {
    try {
      return work()
    } catch (cause) {
      if (cause instanceof Fault) throw cause
      throw new Fault('store-unavailable', `database ${this.path}`, { cause })
    }
  }
}

/**
 * - `found`, `new`: as it should be
 * - `rebuilt`: the old file was not readable and lies aside under `movedTo`
 * - `memory`: the disk takes no database at all; nothing will survive a restart
 */
export type Opened = {
  database: Database
  condition: 'found' | 'new' | 'rebuilt' | 'memory'
  movedTo?: string
  because?: unknown
}

/** Never throws: a device with a broken disk still has a model to serve. */
export function openDatabase(path: string, nowMs: EpochMs): Opened {
  try {
    mkdirSync(dirname(path), { recursive: true })
    const isNew = !existsSync(path)
    return { database: openFile(path), condition: isNew ? 'new' : 'found' }
  } catch (because) {
    if (!isDamage(because)) return { database: inMemory(), condition: 'memory', because }
    try {
      const movedTo = moveAside(path, nowMs)
      return { database: openFile(path), condition: 'rebuilt', movedTo, because }
    } catch (again) {
      return { database: inMemory(), condition: 'memory', because: again }
    }
  }
}

function inMemory(): Database {
  return openFile(':memory:')
}

function openFile(path: string): Database {
  const sqlite = new DatabaseSync(path)
  try {
    // FULL: what was committed outlives a power cut, which is what "stored before it is done" rests on.
    sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000')
    const found = Number(sqlite.prepare('PRAGMA user_version').get()?.['user_version'])
    const check = sqlite.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (check !== 'ok') throw new Fault('database-damaged', `${path}: ${String(check)}`)
    if (found > schemaVersion)
      throw new Fault('database-too-new', `${path}: schema ${found}, this agent knows up to ${schemaVersion}`)
    if (found === 0) sqlite.exec(`BEGIN; ${tables}; PRAGMA user_version = ${schemaVersion}; COMMIT`)
    return new Database(path, sqlite)
  } catch (error) {
    sqlite.close()
    throw error
  }
}

/** SQLITE_CORRUPT is 11, SQLITE_NOTADB is 26; a schema from the future is as unreadable as damage. */
function isDamage(error: unknown): boolean {
  if (error instanceof Fault) return error.code === 'database-damaged' || error.code === 'database-too-new'
  const { errcode } = error as { errcode?: number }
  return errcode === 11 || errcode === 26
}

/** Kept, not deleted: what it still holds may be wanted by a person. */
function moveAside(path: string, nowMs: EpochMs): string {
  const movedTo = `${path}.damaged-${nowMs}`
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, movedTo + suffix)
  }
  return movedTo
}
