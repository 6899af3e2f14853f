import {
  type BodyOf,
  type DropReason,
  dropReasons,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import type { Stream } from '@godwit/protocol/topics'
import type { EpochMs } from '@godwit/protocol/units'
import type { Selectable } from 'kysely'
import type { Db } from '../store/database.ts'
import type { Tables } from '../store/tables.ts'
import type { Range } from './ranges.ts'

export type StreamKey = { deviceId: string; session: string; stream: Stream }

/** Counters of one stream of one session. */
export type StreamState = {
  /** Everything up to here is stored or accounted for. */
  contiguous: number
  highest: number
  stored: number
  duplicates: number
  rejected: number
  dropped: number
  forgotten: number
  /** Awaited or never arrived. */
  missing: number
  /** Lower ones have outlived their retention. */
  keptFrom: number
  firstAt: EpochMs
  lastAt: EpochMs
}

/**
 * Why a range was never stored. A `DropReason`: the device dropped it and said so. `forgotten`: it was let go before
 * this hub first heard of the session. `never_arrived`: the device no longer holds it, and nobody knows why.
 */
export type LossReason = DropReason | 'forgotten' | 'never_arrived'
export type Loss<R extends LossReason = LossReason> = { range: Range; reason: R }

export function isDrop(loss: Loss): loss is Loss<DropReason> {
  return (dropReasons as readonly string[]).includes(loss.reason)
}

/** Below SQLite's limit of 32,766 parameters with room to spare. */
const rowsPerStatement = 1_000

const recordTables = { window: 'window_record', event: 'event_record', health: 'health_record' } as const

function keyColumns({ deviceId, session, stream }: StreamKey) {
  return { device_id: deviceId, session, stream }
}

export async function streamState(db: Db, key: StreamKey): Promise<StreamState | undefined> {
  const row = await db
    .selectFrom('stream_state')
    .selectAll()
    .where((where) => where.and(keyColumns(key)))
    .executeTakeFirst()
  return row && stateOfRow(row)
}

export async function streamsOf(db: Db, deviceId: string): Promise<(StreamKey & StreamState)[]> {
  const rows = await db
    .selectFrom('stream_state')
    .selectAll()
    .where('device_id', '=', deviceId)
    .orderBy('first_at', 'desc')
    .orderBy('stream')
    .execute()
  return rows.map((row) => ({
    deviceId,
    session: row.session,
    stream: row.stream as Stream,
    ...stateOfRow(row),
  }))
}

function stateOfRow(row: Selectable<Tables['stream_state']>): StreamState {
  const {
    contiguous,
    highest,
    stored,
    duplicates,
    rejected,
    dropped,
    forgotten,
    missing,
    kept_from: keptFrom,
    first_at: firstAt,
    last_at: lastAt,
  } = row
  const tallies = { stored, duplicates, rejected, dropped, forgotten, missing }
  return { contiguous, highest, ...tallies, keptFrom, firstAt, lastAt }
}

export async function saveStreamState(db: Db, key: StreamKey, state: StreamState): Promise<void> {
  const { firstAt: first_at, lastAt: last_at, keptFrom: kept_from, ...counters } = state
  await db
    .insertInto('stream_state')
    .values({ ...keyColumns(key), ...counters, kept_from, first_at, last_at })
    .onConflict((conflict) =>
      conflict.columns(['device_id', 'session', 'stream']).doUpdateSet({ ...counters, kept_from, last_at }),
    )
    .execute()
}

export async function losses(db: Db, key: StreamKey): Promise<Loss[]> {
  const rows = await db
    .selectFrom('dropped_range')
    .select(['first', 'last', 'reason'])
    .where((where) => where.and(keyColumns(key)))
    .orderBy('first')
    .execute()
  return rows.map(({ first, last, reason }) => ({ range: [first, last], reason: reason as LossReason }))
}

/** Replaces the stream's list: ranges grow, shrink and join as the device says more. */
export async function saveLosses(db: Db, key: StreamKey, all: readonly Loss[]): Promise<void> {
  await db
    .deleteFrom('dropped_range')
    .where((where) => where.and(keyColumns(key)))
    .execute()
  const rows = all.map(({ range: [first, last], reason }) => ({ ...keyColumns(key), first, last, reason }))
  for (let from = 0; from < rows.length; from += rowsPerStatement)
    await db
      .insertInto('dropped_range')
      .values(rows.slice(from, from + rowsPerStatement))
      .execute()
}

/** Stored or refused sequence numbers in a range, in order; at most `limit`. */
export async function seqsIn(db: Db, key: StreamKey, [first, last]: Range, limit: number): Promise<number[]> {
  const stored = await db
    .selectFrom(recordTables[key.stream])
    .select('seq')
    .where('device_id', '=', key.deviceId)
    .where('session', '=', key.session)
    .where('seq', '>=', first)
    .where('seq', '<=', last)
    .orderBy('seq')
    .limit(limit)
    .execute()
  const rejected = await db
    .selectFrom('rejected_record')
    .select('seq')
    .where((where) => where.and(keyColumns(key)))
    .where('seq', '>=', first)
    .where('seq', '<=', last)
    .orderBy('seq')
    .limit(limit)
    .execute()
  const seqs = [...stored, ...rejected].map(({ seq }) => seq)
  return [...new Set(seqs)].sort((a, b) => a - b).slice(0, limit)
}

export async function insertRejected(
  db: Db,
  key: StreamKey,
  records: readonly { seq: number; detail: string }[],
  at: EpochMs,
): Promise<void> {
  if (records.length === 0) return
  const rows = records.map(({ seq, detail }) => ({ ...keyColumns(key), seq, received_at: at, detail }))
  await db
    .insertInto('rejected_record')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Each table's own columns of a record. */
const columnsOf: { [S in Stream]: (body: BodyOf[S]) => object } = {
  window: (body) => ({
    slot: body.slot,
    model: body.model,
    version: body.version,
    release_digest: body.releaseDigest,
    start_at: body.start,
    end_at: body.end,
    readings: body.readings,
    inferences: body.inferences,
    errors: body.errors,
    warm_up: body.warmUp,
    anomalies: body.anomalies,
    dropped: body.dropped ?? 0,
    requests: body.requests ?? 0,
    latency_json: JSON.stringify(body.latency),
    drift_json: JSON.stringify(body.drift),
    energy_joules: body.energy?.joules ?? null,
    energy_idle_joules: body.energy?.idleShareJoules ?? null,
    energy_unattributed_joules: body.energy?.unattributedJoules ?? null,
    energy_label: body.energy?.label ?? null,
    energy_source: body.energy?.source ?? null,
    energy_coverage: body.energy?.coverage ?? null,
    energy_sigma: body.energy?.sigmaFactor ?? null,
    cpu_ms: body.energy?.cpuMs ?? null,
  }),
  event: (body) => ({
    at: body.at,
    kind: body.kind,
    key: body.key,
    slot: body.slot ?? null,
    release_digest: body.releaseDigest ?? null,
    severity: body.severity,
    detail_json: JSON.stringify(body.detail),
  }),
  health: (body) => ({ at: body.at, body_json: JSON.stringify(body) }),
}

/** @param records that have passed the schema of the key's stream */
export async function insertRecords(
  db: Db,
  { deviceId, session, stream }: StreamKey,
  records: readonly { seq: number; body: unknown }[],
  at: EpochMs,
): Promise<void> {
  if (records.length === 0) return
  const columns = columnsOf[stream] as (body: unknown) => object
  const rows = records.map(({ seq, body }) => {
    return { device_id: deviceId, session, seq, received_at: at, ...columns(body) }
  })
  await db
    .insertInto(recordTables[stream])
    .values(rows as never)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** What drift needs of the windows in a range, in the order of their sequence. */
export async function driftOfWindows(
  db: Db,
  { deviceId, session }: StreamKey,
  [first, last]: Range,
  limit: number,
) {
  const rows = await db
    .selectFrom('window_record')
    .select(['seq', 'slot', 'model', 'version', 'release_digest', 'drift_json'])
    .where('device_id', '=', deviceId)
    .where('session', '=', session)
    .where('seq', '>=', first)
    .where('seq', '<=', last)
    .orderBy('seq')
    .limit(limit)
    .execute()
  return rows.map(({ release_digest: releaseDigest, drift_json, ...rest }) => ({
    ...rest,
    releaseDigest,
    drift: JSON.parse(drift_json) as WindowRecord['drift'],
  }))
}

/** The lowest sequence number of a record that was received at `since` or later. */
export async function firstReceivedSince(
  db: Db,
  key: StreamKey,
  since: EpochMs,
): Promise<number | undefined> {
  const row = await db
    .selectFrom(recordTables[key.stream])
    .select(({ fn }) => fn.min<number | null>('seq').as('seq'))
    .where('device_id', '=', key.deviceId)
    .where('session', '=', key.session)
    .where('received_at', '>=', since)
    .executeTakeFirst()
  return row?.seq ?? undefined
}

export async function deleteThrough(db: Db, key: StreamKey, seq: number): Promise<number> {
  const outcome = await db
    .deleteFrom(recordTables[key.stream])
    .where('device_id', '=', key.deviceId)
    .where('session', '=', key.session)
    .where('seq', '<=', seq)
    .executeTakeFirst()
  return Number(outcome.numDeletedRows)
}
