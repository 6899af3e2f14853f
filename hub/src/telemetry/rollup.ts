import type { EpochMs } from '@godwit/protocol/units'
import { sql } from 'kysely'
import { type CarbonFigure, carbonOf } from '../energy/carbon.ts'
import { type EnergyLabel, type EnergyOfWindow, type EnergySum, sumEnergy } from '../energy/energy-sum.ts'
import type { CarbonFactor } from '../energy/factor.ts'
import type { Db } from '../store/database.ts'
import { addCounts, quantileMicros } from './latency.ts'

export type Span = { from?: EpochMs | undefined; to?: EpochMs | undefined; deviceId?: string | undefined }

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

type Row = Awaited<ReturnType<typeof windowsIn>>[number]

/** Per device, slot and release; latency histograms are merged, never their percentiles. */
export async function rollup(db: Db, span: Span): Promise<ReleaseRollup[]> {
  const groups = new Map<string, Row[]>()
  for (const row of await windowsIn(db, span)) {
    const key = `${row.device_id}\n${row.slot}\n${row.release_digest}`
    const group = groups.get(key)
    if (group) group.push(row)
    else groups.set(key, [row])
  }
  return [...groups.values()].map(rolledUp)
}

function windowsIn(db: Db, { from, to, deviceId }: Span) {
  let query = db
    .selectFrom('window_record')
    .select([
      'device_id',
      'slot',
      'model',
      'version',
      'release_digest',
      'start_at',
      'end_at',
      'readings',
      'inferences',
    ])
    .select(['errors', 'anomalies', 'latency_json', ...energyColumns])
    .orderBy('end_at')
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId)
  if (from !== undefined) query = query.where('end_at', '>=', from)
  if (to !== undefined) query = query.where('end_at', '<', to)
  return query.execute()
}

const energyColumns = [
  'energy_joules',
  'energy_idle_joules',
  'energy_unattributed_joules',
  'energy_label',
  'energy_source',
  'energy_coverage',
  'energy_sigma',
] as const

function rolledUp(rows: readonly Row[]): ReleaseRollup {
  const first = rows[0]!
  const sum = (value: (row: Row) => number) => rows.reduce((total, row) => total + value(row), 0)
  const counts: number[] = []
  for (const row of rows) addCounts(counts, (JSON.parse(row.latency_json) as { counts: number[] }).counts)
  return {
    deviceId: first.device_id,
    slot: first.slot,
    model: first.model,
    version: first.version,
    releaseDigest: first.release_digest,
    windows: rows.length,
    readings: sum((row) => row.readings),
    inferences: sum((row) => row.inferences),
    errors: sum((row) => row.errors),
    anomalies: sum((row) => row.anomalies),
    p50Micros: quantileMicros(counts, 0.5),
    p95Micros: quantileMicros(counts, 0.95),
    energy: sumEnergy(rows.map(energyOf)),
    firstAt: first.start_at,
    lastAt: rows[rows.length - 1]!.end_at,
  }
}

type EnergyRow = Pick<Row, 'start_at' | 'end_at' | (typeof energyColumns)[number]>

/** A window without a figure is a gap: no joules, no coverage, and its time counts. */
function energyOf(row: EnergyRow): EnergyOfWindow {
  return {
    joules: row.energy_joules ?? 0,
    idleShareJoules: row.energy_idle_joules ?? 0,
    unattributedJoules: row.energy_unattributed_joules ?? 0,
    label: (row.energy_label as EnergyLabel | null) ?? 'assumed',
    source: row.energy_source ?? '',
    coverage: row.energy_coverage ?? 0,
    sigmaFactor: row.energy_sigma ?? 1,
    windowMs: Math.max(0, row.end_at - row.start_at),
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
  for (const row of await summedEnergy(db, columns, span)) {
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
  return result.sort((a, b) => b.energy.joules - a.energy.joules)
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

function summedEnergy(
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
