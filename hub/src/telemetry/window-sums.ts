import type { WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'
import { CompiledQuery, type Insertable } from 'kysely'
import type { Db } from '../store/database.ts'
import type { Tables } from '../store/tables.ts'
import { addCounts } from './latency.ts'

type Row = Insertable<Tables['window_sum']>

const keys = [
  ...(['device_id', 'slot', 'release_digest', 'model', 'version'] as const),
  ...(['energy_label', 'energy_source', 'is_gap'] as const),
] as const
const added = [
  ...(['windows', 'readings', 'inferences', 'errors', 'anomalies'] as const),
  ...(['joules', 'idle_joules', 'unattributed_joules', 'window_ms', 'covered_ms', 'weighed_sigma'] as const),
] as const

/** Stands for every device: no device has an empty name. */
export const wholeFleet = ''

/** Adds windows that were stored just now, in the same transaction: what was summed once is never summed again. */
export async function addToSums(
  trx: Db,
  deviceId: string,
  windows: readonly WindowRecord[],
  at: EpochMs,
): Promise<void> {
  const groups = new Map<string, Row>()
  for (const window of windows) {
    const row = rowOf(deviceId, window, at)
    const key = JSON.stringify(keys.map((name) => row[name]))
    const group = groups.get(key)
    groups.set(key, group ? merged(group, row) : row)
  }
  for (const row of groups.values()) {
    await save(trx, { ...row, latency_json: await withLatencyBefore(trx, row) })
    const everybody = { device_id: wholeFleet, slot: '', release_digest: '', latency_json: '[]' }
    await save(trx, { ...row, ...everybody })
  }
}

function rowOf(deviceId: string, window: WindowRecord, at: EpochMs): Row {
  const { slot, model, version, releaseDigest, start, end, energy } = window
  const { readings, inferences, errors, anomalies, latency } = window
  const windowMs = Math.max(0, end - start)
  const { joules = 0, idleShareJoules = 0, unattributedJoules = 0, coverage = 0 } = energy ?? {}
  return {
    ...{ device_id: deviceId, slot, model, version, release_digest: releaseDigest },
    ...{
      energy_label: energy?.label ?? '',
      energy_source: energy?.source ?? '',
      is_gap: coverage === 0 ? 1 : 0,
    },
    ...{ windows: 1, readings, inferences, errors, anomalies, latency_json: JSON.stringify(latency.counts) },
    ...{ joules, idle_joules: idleShareJoules, unattributed_joules: unattributedJoules },
    ...{ window_ms: windowMs, covered_ms: coverage * windowMs },
    // Uncertainty is weighed by joules, coverage by time: so sums are figures like any other.
    weighed_sigma: (energy?.sigmaFactor ?? 1) * (joules + idleShareJoules),
    ...{ first_at: start, last_at: end, updated_at: at },
  }
}

function merged(a: Row, b: Row): Row {
  const sums = Object.fromEntries(added.map((name) => [name, a[name] + b[name]]))
  return {
    ...a,
    ...sums,
    latency_json: latencySum(a.latency_json, b.latency_json),
    first_at: Math.min(a.first_at, b.first_at),
    last_at: Math.max(a.last_at, b.last_at),
  }
}

function latencySum(a: string, b: string): string {
  return JSON.stringify(addCounts(JSON.parse(a) as number[], JSON.parse(b) as number[]))
}

// Written once: each batch asks these, and building a query costs more than answering it.
const latencyBefore = `select latency_json from window_sum where ${keys.map((name) => `${name} = ?`).join(' and ')}`
const columns = [...keys, ...added, 'latency_json', 'first_at', 'last_at', 'updated_at'] as const
const upsert = `insert into window_sum (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})
  on conflict (${keys.join(', ')}) do update set
  ${added.map((name) => `${name} = window_sum.${name} + excluded.${name}`).join(', ')},
  latency_json = excluded.latency_json, updated_at = excluded.updated_at,
  first_at = case when excluded.first_at < window_sum.first_at then excluded.first_at else window_sum.first_at end,
  last_at = case when excluded.last_at > window_sum.last_at then excluded.last_at else window_sum.last_at end`

async function withLatencyBefore(trx: Db, row: Row): Promise<string> {
  const key = keys.map((name) => row[name])
  const { rows } = await trx.executeQuery<{ latency_json: string }>(CompiledQuery.raw(latencyBefore, key))
  return rows[0] ? latencySum(rows[0].latency_json, row.latency_json) : row.latency_json
}

async function save(trx: Db, row: Row): Promise<void> {
  const values = columns.map((name) => row[name])
  await trx.executeQuery(CompiledQuery.raw(upsert, values))
}
