import type { Birth } from '@godwit/protocol/messages/presence'
import type { Db } from './database.ts'

const topLevel = ['root', 'targets', 'snapshot', 'timestamp']

export type StoredMetadata = { role: string; version: number; bytes: Uint8Array }

/** Documents are stored as text: signed JSON is UTF-8 by definition, and the bytes come back as they were. */
export async function insertMetadata(
  db: Db,
  { role, version, bytes }: StoredMetadata,
  storedAt: number,
): Promise<void> {
  const document = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  await db.insertInto('metadata').values({ role, version, document, stored_at: storedAt }).execute()
}

export async function metadataOf(db: Db, role: string, version: number): Promise<StoredMetadata | undefined> {
  const one = db.selectFrom('metadata').selectAll().where('role', '=', role).where('version', '=', version)
  const row = await one.executeTakeFirst()
  return row && { role, version: row.version, bytes: new TextEncoder().encode(row.document) }
}

export async function newestMetadata(db: Db, role: string): Promise<StoredMetadata | undefined> {
  const all = db.selectFrom('metadata').selectAll().where('role', '=', role)
  const row = await all.orderBy('version', 'desc').limit(1).executeTakeFirst()
  return row && { role, version: row.version, bytes: new TextEncoder().encode(row.document) }
}

export async function allMetadata(db: Db, role: string): Promise<StoredMetadata[]> {
  const rows = await db
    .selectFrom('metadata')
    .selectAll()
    .where('role', '=', role)
    .orderBy('version')
    .execute()
  return rows.map((row) => ({ role, version: row.version, bytes: new TextEncoder().encode(row.document) }))
}

/** What this hub holds, by role; 0 where there is nothing. */
export async function newestVersions(db: Db): Promise<Birth['metadata']> {
  const rows = await db
    .selectFrom('metadata')
    .select(({ fn }) => ['role', fn.max('version').as('version')])
    .where('role', 'in', topLevel)
    .groupBy('role')
    .execute()
  const known = Object.fromEntries(rows.map(({ role, version }) => [role, version]))
  return { root: 0, timestamp: 0, snapshot: 0, targets: 0, ...known }
}

/** The newest document of every delegated role that ever had one, whether or not it is delegated to now. */
export async function newestDelegated(db: Db): Promise<StoredMetadata[]> {
  const roles = await db
    .selectFrom('metadata')
    .select('role')
    .distinct()
    .where('role', 'not in', topLevel)
    .orderBy('role')
    .execute()
  return Promise.all(roles.map(async ({ role }) => (await newestMetadata(db, role))!))
}

/** Timestamps and snapshots that nothing names any more; roots and targets are kept as the record. */
export async function deleteMetadataBefore(db: Db, role: string, version: number): Promise<void> {
  await db.deleteFrom('metadata').where('role', '=', role).where('version', '<', version).execute()
}

/** Keeps the newest `count` and the one before them. */
export async function deleteOldMetadata(db: Db, role: string, count: number): Promise<void> {
  const all = db.selectFrom('metadata').select('version').where('role', '=', role)
  const oldest = await all.orderBy('version', 'desc').offset(count).limit(1).executeTakeFirst()
  if (oldest) await deleteMetadataBefore(db, role, oldest.version)
}
