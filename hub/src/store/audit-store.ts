import type { Selectable } from 'kysely'
import type { ChainEnd, ChainedEntry } from '../trust/audit-chain.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function lastAuditEntry(db: Db): Promise<ChainEnd | undefined> {
  return db.selectFrom('audit').select(['id', 'hash']).orderBy('id', 'desc').limit(1).executeTakeFirst()
}

export async function insertAudit(db: Db, { detail, previousHash, ...rest }: ChainedEntry): Promise<void> {
  const values = { ...rest, detail_json: detail, previous_hash: previousHash }
  await db.insertInto('audit').values(values).execute()
}

export async function auditAfter(db: Db, id: number, limit: number): Promise<ChainedEntry[]> {
  const rows = db.selectFrom('audit').selectAll().where('id', '>', id)
  return (await rows.orderBy('id').limit(limit).execute()).map(toEntry)
}

export async function auditBefore(db: Db, id: number, limit: number): Promise<ChainedEntry[]> {
  const rows = db.selectFrom('audit').selectAll().where('id', '<', id)
  return (await rows.orderBy('id', 'desc').limit(limit).execute()).map(toEntry)
}

/** A signed checkpoint as it was made. Nothing here changes one or takes one away. */
export type StoredCheckpoint = { lastId: number; hash: string; envelope: string }

export async function insertCheckpoint(
  db: Db,
  { lastId, hash, envelope }: StoredCheckpoint,
  at: number,
): Promise<void> {
  await db.insertInto('audit_checkpoint').values({ last_id: lastId, hash, envelope, at }).execute()
}

/** 0 before the first. */
export async function lastCheckpointId(db: Db): Promise<number> {
  const newest = db.selectFrom('audit_checkpoint').select('last_id').orderBy('last_id', 'desc').limit(1)
  return (await newest.executeTakeFirst())?.last_id ?? 0
}

/** Those about entries from `first` to `last`. */
export async function checkpointsBetween(db: Db, first: number, last: number): Promise<StoredCheckpoint[]> {
  const rows = db
    .selectFrom('audit_checkpoint')
    .selectAll()
    .where('last_id', '>=', first)
    .where('last_id', '<=', last)
  return (await rows.orderBy('last_id').execute()).map(({ last_id, hash, envelope }) => ({
    lastId: last_id,
    hash,
    envelope,
  }))
}

function toEntry({ detail_json, previous_hash, ...row }: Selectable<Tables['audit']>): ChainedEntry {
  return { ...row, detail: detail_json, previousHash: previous_hash }
}
