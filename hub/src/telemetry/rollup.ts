import type { EpochMs } from '@godwit/protocol/units'
import { type Selectable, sql } from 'kysely'
import { type CarbonFigure, carbonOf } from '../energy/carbon.ts'
import { type EnergyLabel, type EnergyOfWindow, type EnergySum, sumEnergy } from '../energy/energy-sum.ts'
import type { CarbonFactor } from '../energy/factor.ts'
import type { Db } from '../store/database.ts'
import type { Tables } from '../store/tables.ts'
import { addCounts, quantileMicros } from './latency.ts'
import { wholeFleet } from './window-sums.ts'

export type Span = {
  from?: EpochMs | undefined
  to?: EpochMs | undefined
  deviceId?: string | undefined
  /** Of groups, the largest so many; absent: all. */
  largest?: number
}

/** What one release did in one slot of one device. */
export type ReleaseRollup = {
  deviceId: string
  slot: string
  model: string
  version: string
  releaseDigest: string
  windows: number
  readings: number
  inferences: number
  errors: number
  anomalies: number
  /** Upper bounds of latency buckets, microseconds; null without inferences. Above 1 s: 1,000,001. */
  p50Micros: number | null
  p95Micros: number | null
  energy: EnergySum
  firstAt: EpochMs
  lastAt: EpochMs
}

/** Per slot and release of one device; latency histograms are merged, never their percentiles. */
export async function rollup(db: Db, deviceId: string): Promise<ReleaseRollup[]> {
  const groups = new Map<string, SumRow[]>()
  const rows = db.selectFrom('window_sum').selectAll().where('device_id', '=', deviceId)
  for (const row of await rows.orderBy('first_at').execute()) {
    const key = `${row.slot}\n${row.release_digest}`
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  return [...groups.values()].map(rolledUp)
}

type SumRow = Selectable<Tables['window_sum']>

function rolledUp(rows: readonly SumRow[]): ReleaseRollup {
  const first = rows[0]!
  const sum = (value: (row: SumRow) => number) => rows.reduce((total, row) => total + value(row), 0)
  const counts: number[] = []
  for (const row of rows) addCounts(counts, JSON.parse(row.latency_json) as number[])
  const windows = sum((row) => row.windows)
  return {
    deviceId: first.device_id,
    slot: first.slot,
    model: first.model,
    version: first.version,
    releaseDigest: first.release_digest,
    windows,
    readings: sum((row) => row.readings),
    inferences: sum((row) => row.inferences),
    errors: sum((row) => row.errors),
    anomalies: sum((row) => row.anomalies),
    p50Micros: quantileMicros(counts, 0.5),
    p95Micros: quantileMicros(counts, 0.95),
    energy: { ...sumEnergy(rows.map((row) => figureOf(summed(row)))), windows },
    firstAt: first.first_at,
    lastAt: Math.max(...rows.map((row) => row.last_at)),
  }
}

function summed(row: SumRow): SummedRow {
  return {
    ...row,
    ...{ idle: row.idle_joules, unattributed: row.unattributed_joules },
    ...{ windowMs: row.window_ms, coveredMs: row.covered_ms, weighedSigma: row.weighed_sigma },
  }
}

export type EnergyGrouping = 'device' | 'model' | 'version' | 'all'
export type EnergyGroup = {
  key: string
  deviceId?: string
  model?: string
  version?: string
  windows: number
  inferences: number
  energy: EnergySum
  carbon: CarbonFigure
}

/**
 * Joules and grams per device, model or version, largest first. The database adds up what has one label and source;
 * those sums are figures like any other, because coverage is weighed by time and uncertainty by joules.
 */
export async function energyBy(
  db: Db,
  by: EnergyGrouping,
  factor: CarbonFactor,
  span: Span,
): Promise<EnergyGroup[]> {
  const columns = groupColumns[by]
  const groups = new Map<string, SummedRow[]>()
  const { from, to } = span
  const rows =
    from === undefined && to === undefined
      ? await summedBefore(db, columns, span)
      : await summedWindows(db, columns, span)
  for (const row of rows) {
    const key = columns.map((column) => row[column]).join('@') || 'all'
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const result = [...groups].map(([key, rows]): EnergyGroup => {
    const sum = (value: (row: SummedRow) => number) => rows.reduce((total, row) => total + value(row), 0)
    const windows = sum((row) => row.windows)
    const energy = { ...sumEnergy(rows.map(figureOf)), windows }
    const { device_id, model, version } = rows[0]!
    return {
      key,
      ...(by === 'device' && { deviceId: device_id! }),
      ...((by === 'model' || by === 'version') && { model: model! }),
      ...(by === 'version' && { version: version! }),
      windows,
      inferences: sum((row) => row.inferences),
      energy,
      carbon: carbonOf(energy, factor),
    }
  })
  return result.sort((a, b) => b.energy.joules - a.energy.joules).slice(0, span.largest)
}

type GroupColumn = 'device_id' | 'model' | 'version'
const groupColumns: Record<EnergyGrouping, readonly GroupColumn[]> = {
  device: ['device_id'],
  model: ['model'],
  version: ['model', 'version'],
  all: [],
}

type SummedRow = Partial<Record<GroupColumn, string>> & {
  energy_label: string | null
  energy_source: string | null
  windows: number
  inferences: number
  joules: number
  idle: number
  unattributed: number
  windowMs: number
  coveredMs: number
  weighedSigma: number
}

/** Of everything that ever came: the sums that ingest keeps. */
async function summedBefore(
  db: Db,
  columns: readonly GroupColumn[],
  { deviceId, largest }: Span,
): Promise<SummedRow[]> {
  const total = sql<number>`sum(joules + idle_joules)`
  let query = db
    .selectFrom('window_sum')
    .select([...columns, 'energy_label', 'energy_source'])
    .select(({ fn }) => [
      ...(['windows', 'inferences', 'joules'] as const).map((name) => fn.sum<number>(name).as(name)),
      fn.sum<number>('idle_joules').as('idle'),
      fn.sum<number>('unattributed_joules').as('unattributed'),
      fn.sum<number>('window_ms').as('windowMs'),
      fn.sum<number>('covered_ms').as('coveredMs'),
      fn.sum<number>('weighed_sigma').as('weighedSigma'),
    ])
    .groupBy([...columns, 'energy_label', 'energy_source', 'is_gap'])
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId)
  else if (!columns.includes('device_id')) query = query.where('device_id', '=', wholeFleet)
  else {
    const devices = db.selectFrom('window_sum').select('device_id').where('device_id', '!=', wholeFleet)
    const ranked = devices
      .groupBy('device_id')
      .orderBy(total, 'desc')
      .limit(largest ?? Number.MAX_SAFE_INTEGER)
    query = query.where('device_id', 'in', ranked)
  }
  return (await query.execute()) as unknown as SummedRow[]
}

/** Of the windows that ended in a span of time and are still kept. */
function summedWindows(
  db: Db,
  columns: readonly GroupColumn[],
  { from, to, deviceId }: Span,
): Promise<SummedRow[]> {
  const ms = sql<number>`(case when end_at > start_at then end_at - start_at else 0 end)`
  // A window of nothing but gap taints no label, so it is summed apart.
  const isGap = sql<number>`(case when coalesce(energy_coverage, 0) = 0 then 1 else 0 end)`
  let query = db
    .selectFrom('window_record')
    .select([...columns, 'energy_label', 'energy_source'])
    .select([
      sql<number>`count(*)`.as('windows'),
      sql<number>`sum(inferences)`.as('inferences'),
      sql<number>`sum(coalesce(energy_joules, 0))`.as('joules'),
      sql<number>`sum(coalesce(energy_idle_joules, 0))`.as('idle'),
      sql<number>`sum(coalesce(energy_unattributed_joules, 0))`.as('unattributed'),
      sql<number>`sum(${ms})`.as('windowMs'),
      sql<number>`sum(coalesce(energy_coverage, 0) * ${ms})`.as('coveredMs'),
      sql<number>`sum(coalesce(energy_sigma, 1) * (coalesce(energy_joules, 0) + coalesce(energy_idle_joules, 0)))`.as(
        'weighedSigma',
      ),
    ])
    .groupBy([...columns, 'energy_label', 'energy_source', isGap])
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId)
  if (from !== undefined) query = query.where('end_at', '>=', from)
  if (to !== undefined) query = query.where('end_at', '<', to)
  return query.execute() as unknown as Promise<SummedRow[]>
}

function figureOf(row: SummedRow): EnergyOfWindow {
  const attributed = row.joules + row.idle
  return {
    joules: row.joules,
    idleShareJoules: row.idle,
    unattributedJoules: row.unattributed,
    label: (row.energy_label as EnergyLabel | null) ?? 'assumed',
    source: row.energy_source ?? '',
    coverage: row.windowMs > 0 ? Math.min(1, row.coveredMs / row.windowMs) : 0,
    // Rounding may bring the mean of ones a hair below one.
    sigmaFactor: attributed > 0 ? Math.max(1, row.weighedSigma / attributed) : 1,
    windowMs: row.windowMs,
  }
}
