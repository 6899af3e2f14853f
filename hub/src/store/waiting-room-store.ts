import type { Selectable } from 'kysely'
import type { PendingDevice, RegisteredKey } from '../fleet/waiting-room.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function registeredKeyOf(db: Db, publicKey: string): Promise<RegisteredKey | undefined> {
  const row = await db
    .selectFrom('registered_key')
    .selectAll()
    .where('public_key', '=', publicKey)
    .executeTakeFirst()
  return row && toRegistered(row)
}

export async function registeredNamed(db: Db, deviceId: string): Promise<RegisteredKey | undefined> {
  const row = await db
    .selectFrom('registered_key')
    .selectAll()
    .where('device_id', '=', deviceId)
    .executeTakeFirst()
  return row && toRegistered(row)
}

export async function allRegisteredKeys(db: Db): Promise<RegisteredKey[]> {
  return (await db.selectFrom('registered_key').selectAll().orderBy('device_id').execute()).map(toRegistered)
}

export async function insertRegisteredKey(db: Db, key: RegisteredKey): Promise<void> {
  const { publicKey, deviceId, labels, registeredAt, registeredBy } = key
  const values = { public_key: publicKey, device_id: deviceId, labels_json: JSON.stringify(labels) }
  await db
    .insertInto('registered_key')
    .values({ ...values, registered_at: registeredAt, registered_by: registeredBy })
    .execute()
}

export async function deleteRegisteredKey(db: Db, publicKey: string): Promise<boolean> {
  const gone = db.deleteFrom('registered_key').where('public_key', '=', publicKey)
  return (await gone.executeTakeFirst()).numDeletedRows > 0n
}

export async function pendingByKey(db: Db, publicKey: string): Promise<PendingDevice | undefined> {
  const row = await db
    .selectFrom('pending_device')
    .selectAll()
    .where('public_key', '=', publicKey)
    .executeTakeFirst()
  return row && toPending(row)
}

/** Longest waiting first. */
export async function allPending(db: Db): Promise<PendingDevice[]> {
  return (await db.selectFrom('pending_device').selectAll().orderBy('first_at').execute()).map(toPending)
}

export async function savePending(
  db: Db,
  { publicKey, wantedId, address, firstAt, lastAt, rejectedAt }: PendingDevice,
): Promise<void> {
  const values = { wanted_id: wantedId ?? null, address, last_at: lastAt, rejected_at: rejectedAt ?? null }
  await db
    .insertInto('pending_device')
    .values({ public_key: publicKey, first_at: firstAt, ...values })
    .onConflict((conflict) => conflict.column('public_key').doUpdateSet(values))
    .execute()
}

export async function deletePending(db: Db, publicKey: string): Promise<boolean> {
  const gone = db.deleteFrom('pending_device').where('public_key', '=', publicKey)
  return (await gone.executeTakeFirst()).numDeletedRows > 0n
}

export async function deletePendingBefore(db: Db, at: number): Promise<void> {
  await db.deleteFrom('pending_device').where('last_at', '<', at).execute()
}

function toRegistered(row: Selectable<Tables['registered_key']>): RegisteredKey {
  return {
    publicKey: row.public_key,
    deviceId: row.device_id,
    labels: JSON.parse(row.labels_json) as Record<string, string>,
    registeredAt: row.registered_at,
    registeredBy: row.registered_by,
  }
}

function toPending(row: Selectable<Tables['pending_device']>): PendingDevice {
  return {
    publicKey: row.public_key,
    ...(row.wanted_id !== null && { wantedId: row.wanted_id }),
    address: row.address,
    firstAt: row.first_at,
    lastAt: row.last_at,
    ...(row.rejected_at !== null && { rejectedAt: row.rejected_at }),
  }
}
