import type { Selectable } from 'kysely'
import type { AuditRow } from '../trust/audit.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function lastAuditHash(db: Db): Promise<string | undefined> {
  const row = await db.selectFrom('audit').select('hash').orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row?.hash
}

export async function insertAudit(db: Db, row: Omit<AuditRow, 'id'>): Promise<void> {
  const { detail, previousHash, ...rest } = row
  const values = { ...rest, detail_json: JSON.stringify(detail), previous_hash: previousHash }
  await db.insertInto('audit').values(values).execute()
}

export async function auditAfter(db: Db, id: number, limit: number): Promise<AuditRow[]> {
  const rows = db.selectFrom('audit').selectAll().where('id', '>', id)
  return (await rows.orderBy('id').limit(limit).execute()).map(toAuditRow)
}

export async function auditBefore(db: Db, id: number, limit: number): Promise<AuditRow[]> {
  const rows = db.selectFrom('audit').selectAll().where('id', '<', id)
  return (await rows.orderBy('id', 'desc').limit(limit).execute()).map(toAuditRow)
}

function toAuditRow({ detail_json, previous_hash, ...row }: Selectable<Tables['audit']>): AuditRow {
  return { ...row, detail: JSON.parse(detail_json), previousHash: previous_hash }
}
