import type { DatabaseSync } from 'node:sqlite'
import { Fault } from '@godwit/protocol/fault'
import * as start from './migrations/001-start.ts'
import * as people from './migrations/002-people.ts'
import * as approvals from './migrations/003-approvals.ts'
import * as enrolment from './migrations/004-enrolment.ts'
import * as modelSignatures from './migrations/005-model-signatures.ts'
import * as installWindows from './migrations/006-install-windows.ts'
import * as windowTallies from './migrations/007-window-tallies.ts'
import * as fleetSums from './migrations/008-fleet-sums.ts'

export type Migration = { name: string; statements: readonly string[] }

/** In the order they apply. A migration that has left this repository is never edited. */
export const migrations: readonly Migration[] = [
  start,
  people,
  approvals,
  enrolment,
  modelSignatures,
  installWindows,
  windowTallies,
  fleetSums,
]

/**
 * Brings the schema up to this hub's. Each migration is one transaction with its entry in the table, so a power cut
 * leaves it done or not begun. A database from a newer hub is refused: writing to it could lose what that hub keeps.
 */
export function migrate(
  database: DatabaseSync,
  path: string,
  known: readonly Migration[] = migrations,
): void {
  database.exec('create table if not exists migration (name text primary key, applied_at bigint not null)')
  const applied = database.prepare('select name from migration order by name').all() as { name: string }[]
  const unknown = applied.find(({ name }) => !known.some((migration) => migration.name === name))
  if (unknown) {
    throw new Fault(
      'store-newer',
      `${path} was written by a newer hub: it has migration ${unknown.name}, this hub knows up to ${known.at(-1)?.name}. ` +
        'Start the newer hub, or restore a backup from before the update.',
    )
  }
  for (const migration of known) {
    if (!applied.some(({ name }) => name === migration.name)) apply(database, migration)
  }
}

function apply(database: DatabaseSync, { name, statements }: Migration): void {
  database.exec('begin immediate')
  try {
    for (const statement of statements) database.exec(statement)
    database.prepare('insert into migration (name, applied_at) values (?, ?)').run(name, Date.now())
    database.exec('commit')
  } catch (cause) {
    database.exec('rollback')
    throw new Fault('store-migration', `migration ${name} failed: ${(cause as Error).message}`, { cause })
  }
}
