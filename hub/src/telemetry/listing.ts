import type { EpochMs } from '@godwit/protocol/units'
import { sql } from 'kysely'
import type { Db } from '../store/database.ts'
import { quantileMicros } from './latency.ts'

export type WindowQuery = {
  deviceId: string
  /** By the device's clock: windows that end earlier. */
  before?: EpochMs | undefined
  limit: number
  after?: WindowKey | undefined
}
/** Where a window stands in the list: newest first, then by session and sequence, both backwards. */
export type WindowKey = { end: EpochMs; session: string; seq: number }

export async function windowsOf(db: Db, { deviceId, before, limit, after }: WindowQuery) {
  let query = db
    .selectFrom('window_record')
    .selectAll()
    .where('device_id', '=', deviceId)
    .orderBy('end_at', 'desc')
    .orderBy('session', 'desc')
    .orderBy('seq', 'desc')
    .limit(limit)
  if (before !== undefined) query = query.where('end_at', '<', before)
  if (after !== undefined) {
    const { end, session, seq } = after
    query = query.where(sql<boolean>`(end_at, session, seq) < (${end}, ${session}, ${seq})`)
  }
  return (await query.execute()).map((row) => {
    const latency = JSON.parse(row.latency_json) as { counts: number[]; sumMicros: number }
    return {
      session: row.session,
      seq: row.seq,
      slot: row.slot,
      model: row.model,
      version: row.version,
      releaseDigest: row.release_digest,
      start: row.start_at,
      end: row.end_at,
      receivedAt: row.received_at,
      readings: row.readings,
      inferences: row.inferences,
      errors: row.errors,
      warmUp: row.warm_up,
      anomalies: row.anomalies,
      dropped: row.dropped,
      requests: row.requests,
      p50Micros: quantileMicros(latency.counts, 0.5),
      p95Micros: quantileMicros(latency.counts, 0.95),
      latency,
      ...(row.energy_joules !== null && {
        energy: {
          joules: row.energy_joules,
          idleShareJoules: row.energy_idle_joules,
          unattributedJoules: row.energy_unattributed_joules,
          label: row.energy_label,
          source: row.energy_source,
          coverage: row.energy_coverage,
          sigmaFactor: row.energy_sigma,
          cpuMs: row.cpu_ms,
        },
      }),
    }
  })
}

export type EventQuery = {
  kind?: string | undefined
  except?: string | undefined
  deviceId?: string | undefined
  limit: number
  after?: EventKey | undefined
}
/** Where an event stands in the list: newest first, then by device, session and sequence. */
export type EventKey = { at: EpochMs; deviceId: string; session: string; seq: number }

export async function eventsOf(db: Db, { kind, except, deviceId, limit, after }: EventQuery) {
  let query = db
    .selectFrom('event_record')
    .selectAll()
    .orderBy('at', 'desc')
    .orderBy('device_id')
    .orderBy('session')
    .orderBy('seq')
    .limit(limit)
  if (kind !== undefined) query = query.where('kind', '=', kind)
  if (except !== undefined) query = query.where('kind', '!=', except)
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId)
  if (after !== undefined) {
    const { at, deviceId, session, seq } = after
    query = query.where(
      sql<boolean>`(at < ${at} or (at = ${at} and (device_id, session, seq) > (${deviceId}, ${session}, ${seq})))`,
    )
  }
  return (await query.execute()).map((row) => ({
    deviceId: row.device_id,
    session: row.session,
    seq: row.seq,
    at: row.at,
    receivedAt: row.received_at,
    kind: row.kind,
    key: row.key,
    slot: row.slot,
    releaseDigest: row.release_digest,
    severity: row.severity,
    detail: JSON.parse(row.detail_json) as Record<string, unknown>,
  }))
}
