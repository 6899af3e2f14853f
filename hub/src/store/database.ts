import { AsyncLocalStorage } from 'node:async_hooks'
import { DatabaseSync } from 'node:sqlite'
import { Fault } from '@godwit/protocol/fault'
import { Kysely, type KyselyPlugin, type Transaction } from 'kysely'
import { migrate } from './migrate.ts'
import { sqliteDialect } from './sqlite-dialect.ts'
import type { Tables } from './tables.ts'

/** Either the database or a transaction on it: stores take this, so that callers decide what commits together. */
export type Db = Kysely<Tables>

export type Database = {
  readonly db: Db
  /**
   * All or nothing, one at a time. Inside, only `trx` may be used: a query on `db` would wait for this very
   * transaction to end, so it throws instead.
   */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Opens, checks and migrates the database. A file that is no sound database is refused and left as it is. */
export function openDatabase(path: string): Database {
  const sqlite = openChecked(path)
  const inside = new AsyncLocalStorage<true>()
  const db = new Kysely<Tables>({ dialect: sqliteDialect(sqlite), plugins: [outsideOnly(inside)] })
  return {
    db,
    transaction: async (work) => {
      if (inside.getStore()) throw misuse('a transaction inside a transaction: pass trx on')
      const begun = db.withoutPlugins().transaction()
      return begun.execute((trx) => inside.run(true, () => work(trx)))
    },
    close: () => db.destroy(),
  }
}

function openChecked(path: string): DatabaseSync {
  let sqlite: DatabaseSync
  try {
    sqlite = new DatabaseSync(path)
  } catch (cause) {
    throw new Fault('store-unavailable', `cannot open ${path}: ${(cause as Error).message}`, { cause })
  }
  try {
    sqlite.exec('pragma busy_timeout = 5000')
    checkIntegrity(sqlite, path)
    // FULL: rollouts and directives share this file, and an answered request must survive a power cut.
    sqlite.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
    migrate(sqlite, path)
    return sqlite
  } catch (error) {
    sqlite.close()
    throw error
  }
}

/** Before anything is written. `quick_check` reads every page but skips the comparison of indexes with tables. */
function checkIntegrity(sqlite: DatabaseSync, path: string): void {
  let found: string
  try {
    found = (sqlite.prepare('pragma quick_check(1)').get() as { quick_check: string }).quick_check
  } catch (cause) {
    const { message, errcode } = cause as Error & { errcode?: number }
    if (errcode === 5 || errcode === 6) {
      throw new Fault('store-busy', `${path} is in use by another process: is a hub already running?`, {
        cause,
      })
    }
    throw corrupt(path, message, cause)
  }
  if (found !== 'ok') throw corrupt(path, found)
}

function corrupt(path: string, found: string, cause?: unknown): Fault {
  return new Fault(
    'store-corrupt',
    `${path} is damaged or no SQLite database: ${found}. Nothing was changed. ` +
      'Move it aside together with its -wal and -shm files and restore a backup.',
    { cause },
  )
}

function outsideOnly(inside: AsyncLocalStorage<true>): KyselyPlugin {
  return {
    transformQuery({ node }) {
      if (inside.getStore()) throw misuse('a query on the database inside a transaction: use trx')
      return node
    },
    transformResult: async ({ result }) => result,
  }
}

function misuse(what: string): Fault {
  return new Fault('store-misuse', what)
}
