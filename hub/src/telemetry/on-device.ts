import type { HealthRecord } from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'

/** What the device last said of its own spool. The figures grow old with the link. */
export type SpoolSeen = { at: EpochMs; records: number; bytes: number; dropped: number }
/** The disk of the device took nothing for a while: windows that got no number, so that no gap tells of them. */
export type Outage = {
  at: EpochMs
  slot?: string
  durationMs: number
  windowsDropped: number
  eventsDropped: number
}

export async function spoolSeen(db: Db, deviceId: string): Promise<SpoolSeen | undefined> {
  const newest = await db
    .selectFrom('stream_state')
    .select('session')
    .where('device_id', '=', deviceId)
    .where('stream', '=', 'health')
    .orderBy('last_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!newest) return undefined
  const row = await db
    .selectFrom('health_record')
    .select('body_json')
    .where('device_id', '=', deviceId)
    .where('session', '=', newest.session)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!row) return undefined
  const { at, spoolRecords, spoolBytes, spoolDropped } = JSON.parse(row.body_json) as HealthRecord
  return { at, records: spoolRecords, bytes: spoolBytes, dropped: spoolDropped }
}

/** The newest hundred that lost something. */
export async function outagesOf(db: Db, deviceId: string): Promise<Outage[]> {
  const rows = await db
    .selectFrom('event_record')
    .select(['at', 'slot', 'detail_json'])
    .where('device_id', '=', deviceId)
    .where('kind', '=', 'storage_recovered')
    .orderBy('at', 'desc')
    .limit(100)
    .execute()
  return rows.flatMap(({ at, slot, detail_json }) => {
    const detail = JSON.parse(detail_json) as Record<string, unknown>
    const count = (name: string) => (typeof detail[name] === 'number' ? detail[name] : 0)
    const [windowsDropped, eventsDropped] = [count('windowsDropped'), count('eventsDropped')]
    if (windowsDropped + eventsDropped === 0) return []
    return [
      { at, ...(slot !== null && { slot }), durationMs: count('durationMs'), windowsDropped, eventsDropped },
    ]
  })
}
