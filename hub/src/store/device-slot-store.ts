import type { Report } from '@godwit/protocol/messages/report'
import type { Db } from './database.ts'

/** What a report says of its slots, in place of what the one before it said. */
export async function saveSlots(db: Db, { deviceId, slots }: Report): Promise<void> {
  await deleteSlots(db, deviceId)
  const rows = Object.entries(slots).map(([slot, { phase, code, active }]) => ({
    ...{ device_id: deviceId, slot, phase, code: code ?? null },
    ...{ model: active?.model ?? null, version: active?.version ?? null },
    release_digest: active?.releaseDigest ?? null,
  }))
  if (rows.length > 0) await db.insertInto('device_slot').values(rows).execute()
}

export async function deleteSlots(db: Db, deviceId: string): Promise<void> {
  await db.deleteFrom('device_slot').where('device_id', '=', deviceId).execute()
}

export type VersionCount = { model: string; version: string; devices: number }

/** Versions that are active in some slot, and in how many. */
export async function countVersions(db: Db): Promise<VersionCount[]> {
  const rows = await db
    .selectFrom('device_slot')
    .select(({ fn }) => ['model', 'version', fn.countAll<number>().as('devices')])
    .where('model', 'is not', null)
    .groupBy(['model', 'version'])
    .execute()
  const counts = rows.map(({ model, version, devices }) => {
    return { model: model!, version: version!, devices: Number(devices) }
  })
  return counts.sort((a, b) => b.devices - a.devices)
}

/** In the order of ids. */
export async function devicesRunning(db: Db, releaseDigest: string): Promise<string[]> {
  const rows = db.selectFrom('device_slot').select('device_id').distinct()
  const found = await rows.where('release_digest', '=', releaseDigest).orderBy('device_id').execute()
  return found.map(({ device_id }) => device_id)
}

/** Devices whose last update failed: how many, and the first few with the code. */
export async function failedDevices(db: Db, named: number) {
  const failed = db.selectFrom('device_slot').where('phase', 'in', ['refused', 'rolled_back'])
  const { count } = await failed
    .select(({ fn }) => fn.count<number>('device_id').distinct().as('count'))
    .executeTakeFirstOrThrow()
  const first = await failed
    .select(({ fn }) => ['device_id', fn.max<string | null>('code').as('code')])
    .groupBy('device_id')
    .orderBy('device_id')
    .limit(named)
    .execute()
  return { count: Number(count), first: first.map(({ device_id: id, code }) => ({ id, code })) }
}
