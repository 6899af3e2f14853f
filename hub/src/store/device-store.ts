import type { Birth, PresenceState } from '@godwit/protocol/messages/presence'
import type { Report } from '@godwit/protocol/messages/report'
import type { Selectable, Updateable } from 'kysely'
import type { Device, DeviceStatus } from '../fleet/device.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export type NewDevice = { id: string; publicKey: string; labels: Record<string, string>; enrolledAt: number }

export async function insertDevice(db: Db, { id, publicKey, labels, enrolledAt }: NewDevice): Promise<void> {
  await db
    .insertInto('device')
    .values({
      id,
      public_key: publicKey,
      labels_json: JSON.stringify(labels),
      enrolled_at: enrolledAt,
      revoked_at: null,
      status: 'offline',
      boot_id: null,
      connection: 0,
      last_seen_at: null,
      birth_json: null,
      report_json: null,
      report_session: null,
      report_version: 0,
      directive_version: 0,
    })
    .execute()
}

export async function deviceById(db: Db, id: string): Promise<Device | undefined> {
  const row = await db.selectFrom('device').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toDevice(row)
}

export async function deviceByKey(db: Db, publicKey: string): Promise<Device | undefined> {
  const row = await db.selectFrom('device').selectAll().where('public_key', '=', publicKey).executeTakeFirst()
  return row && toDevice(row)
}

/** In the order of ids, which is also the order of cursors. */
export async function devicesAfter(db: Db, after: string, limit: number | undefined): Promise<Device[]> {
  const sorted = db.selectFrom('device').selectAll().where('id', '>', after).orderBy('id')
  const rows = await (limit === undefined ? sorted : sorted.limit(limit)).execute()
  return rows.map(toDevice)
}

/** In the order of ids. */
export async function devicesNamed(db: Db, ids: readonly string[]): Promise<Device[]> {
  const rows = db.selectFrom('device').selectAll().where('id', 'in', ids).orderBy('id')
  return ids.length === 0 ? [] : (await rows.execute()).map(toDevice)
}

const labelsPage = 1_000

/** Labels without the documents, which make up most of a device's row. */
export async function* labelsAfter(db: Db, after: string) {
  for (let last = after; ; ) {
    const rows = db.selectFrom('device').select(['id', 'labels_json']).where('id', '>', last).orderBy('id')
    const page = await rows.limit(labelsPage).execute()
    for (const { id, labels_json } of page)
      yield { id, labels: JSON.parse(labels_json) as Record<string, string> }
    if (page.length < labelsPage) return
    last = page[page.length - 1]!.id
  }
}

export async function savePresence(
  db: Db,
  id: string,
  presence: { status: DeviceStatus; bootId: string; connection: number; lastSeenAt: number },
): Promise<void> {
  const { status, bootId, connection, lastSeenAt } = presence
  await update(db, id, { status, boot_id: bootId, connection, last_seen_at: lastSeenAt })
}

export async function saveBirth(db: Db, id: string, birth: Birth, lastSeenAt: number): Promise<void> {
  await update(db, id, { birth_json: JSON.stringify(birth), last_seen_at: lastSeenAt })
}

/** The envelope is kept as it came, because its signature is the evidence. */
export async function saveReport(
  db: Db,
  report: Report,
  envelope: string,
  lastSeenAt: number,
): Promise<void> {
  const { deviceId, session, reportVersion } = report
  const order = { report_session: session, report_version: reportVersion }
  await update(db, deviceId, { report_json: envelope, ...order, last_seen_at: lastSeenAt })
}

export async function saveLabels(db: Db, id: string, labels: Record<string, string>): Promise<void> {
  await update(db, id, { labels_json: JSON.stringify(labels) })
}

export async function saveDeviceKey(db: Db, id: string, publicKey: string): Promise<void> {
  await update(db, id, { public_key: publicKey })
}

export async function markDeviceRevoked(db: Db, id: string, at: number): Promise<void> {
  const revocation = db.updateTable('device').set({ revoked_at: at, status: 'offline' }).where('id', '=', id)
  await revocation.where('revoked_at', 'is', null).execute()
}

export async function saveDirectiveVersion(db: Db, id: string, version: number): Promise<void> {
  await update(db, id, { directive_version: version })
}

export async function countDevicesByStatus(db: Db): Promise<Record<DeviceStatus, number>> {
  const rows = await db
    .selectFrom('device')
    .select(({ fn }) => ['status', fn.countAll<number>().as('count')])
    .where('revoked_at', 'is', null)
    .groupBy('status')
    .execute()
  const counts = { online: 0, sleeping: 0, offline: 0 }
  for (const { status, count } of rows) counts[status as DeviceStatus] = Number(count)
  return counts
}

async function update(db: Db, id: string, values: Updateable<Tables['device']>): Promise<void> {
  await db.updateTable('device').set(values).where('id', '=', id).execute()
}

function toDevice(row: Selectable<Tables['device']>): Device {
  return {
    id: row.id,
    publicKey: row.public_key,
    labels: JSON.parse(row.labels_json),
    enrolledAt: row.enrolled_at,
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
    status: row.status as PresenceState['status'],
    ...(row.boot_id !== null && { bootId: row.boot_id }),
    connection: row.connection,
    ...(row.last_seen_at !== null && { lastSeenAt: row.last_seen_at }),
    ...(row.birth_json !== null && { birth: JSON.parse(row.birth_json) as Birth }),
    ...(row.report_json !== null && { report: (JSON.parse(row.report_json) as { signed: Report }).signed }),
    directiveVersion: row.directive_version,
  }
}
