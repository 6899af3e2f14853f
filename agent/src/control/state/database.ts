import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { Fault } from '@godwit/protocol/fault'
import type { EpochMs } from '@godwit/protocol/units'
import { schemaVersion, tables } from './tables.ts'

export type Row = Record<string, SQLInputValue>

/** node:sqlite with prepared statements kept, transactions that nest, and faults that name the file. */
export class Database {
  readonly path: string
  #sqlite: DatabaseSync
  #reopen: (() => DatabaseSync) | undefined
  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>()
  #depth = 0

  /** @param reopen of a file that may be open to read only: asked again whenever something is to be written */
  constructor(path: string, sqlite: DatabaseSync, reopen?: () => DatabaseSync) {
    this.path = path
    this.#sqlite = sqlite
    this.#reopen = reopen
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    this.#prepareToWrite()
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
    this.#prepareToWrite()
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

  /**
   * A transaction whose loss in a power cut costs no more than doing it again: it waits for no sync of its own, and is on
   * the disk for good with the next one that does. Never out of order, and never half.
   */
  lazily<T>(work: () => T): T {
    if (this.#depth > 0) return work()
    this.#sqlite.exec('PRAGMA synchronous = NORMAL')
    try {
      return this.transaction(work)
    } finally {
      this.#sqlite.exec('PRAGMA synchronous = FULL')
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

  /** A file system that was read-only when the agent started may have been put right since. */
  #prepareToWrite(): void {
    if (!this.#reopen || this.#depth > 0) return
    try {
      const writable = this.#reopen()
      this.close()
      this.#sqlite = writable
      this.#reopen = undefined
    } catch {
      // Then the write fails, and says why.
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
    return { database: openPatiently(path), condition: isNew ? 'new' : 'found' }
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

/**
 * One failure of the disk must not make this life forget everything, so it is asked again, also when the answer was
 * damage: a page that could not be read looks like it. Then it is taken to read only; then without the index file that
 * SQLite shares between processes, for which a disk that was full at start has no room; last as a file that nobody can
 * change, which a read-only file system needs. What is in the database can be read all the same.
 */
const ways = [
  { access: 'write', lockingMode: 'NORMAL' },
  { access: 'write', lockingMode: 'NORMAL' },
  { access: 'any', lockingMode: 'NORMAL' },
  { access: 'any', lockingMode: 'EXCLUSIVE' },
  { access: 'immutable', lockingMode: 'NORMAL' },
] as const
type Way = (typeof ways)[number]

function openPatiently(path: string): Database {
  for (const [tried, way] of ways.entries()) {
    try {
      return openFile(path, way)
    } catch (error) {
      // Damage that was found twice is damage, whichever way one looks at it.
      if (tried === ways.length - 1 || (tried > 0 && isDamage(error))) throw error
    }
  }
  throw new Error('no way to open a database')
}

function inMemory(): Database {
  return openFile(':memory:')
}

function connect(path: string, { lockingMode, access }: Way): DatabaseSync {
  const sqlite = new DatabaseSync(access === 'immutable' ? immutable(path) : path)
  try {
    sqlite.exec(`PRAGMA locking_mode = ${lockingMode}`)
    // FULL: what was committed outlives a power cut, which is what "stored before it is done" rests on.
    sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000')
    // SQLite says nothing when it may only read; this writes nothing in the end, but needs to be allowed to.
    if (access === 'write') sqlite.exec('BEGIN IMMEDIATE; CREATE TABLE probe (a); ROLLBACK')
    return sqlite
  } catch (error) {
    sqlite.close()
    throw error
  }
}

/** Without the log, so only where there is none: what stands in it would be missing. */
function immutable(path: string): URL {
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0)
    throw new Fault('store-unavailable', `${path} has a log that cannot be read here`)
  const url = pathToFileURL(path)
  url.search = 'immutable=1'
  return url
}

function openFile(path: string, way: Way = ways[0]): Database {
  const sqlite = connect(path, way)
  try {
    const found = Number(sqlite.prepare('PRAGMA user_version').get()?.['user_version'])
    const check = sqlite.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (check !== 'ok') throw new Fault('database-damaged', `${path}: ${String(check)}`)
    if (found > schemaVersion)
      throw new Fault('database-too-new', `${path}: schema ${found}, this agent knows up to ${schemaVersion}`)
    if (found === 0) sqlite.exec(`BEGIN; ${tables}; PRAGMA user_version = ${schemaVersion}; COMMIT`)
    return new Database(path, sqlite, way.access === 'write' ? undefined : () => connect(path, ways[0]))
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
