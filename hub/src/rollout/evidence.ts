import type { Verdict } from '@godwit/protocol/drift/verdict'
import type { EpochMs } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'
import { addCounts } from '../telemetry/latency.ts'
import type { DeviceEvidence, Evidence } from './judge.ts'
import { currentWave, type Rollout } from './rollout.ts'
import { isClosed, type Wave } from './wave.ts'

export const noEvidence: Evidence = new Map()

/** What a device did under one release: what it had done before a wave was opened is taken off what it has done since. */
type Work = Pick<DeviceEvidence, 'inferences' | 'errors' | 'latencyCounts'>

/** A clock that is set back by more than this makes everything be read anew. */
const overlapMs = 2_000

type Known = {
  wave: number
  judgedFrom: EpochMs
  readAt: EpochMs
  work: Map<string, Work>
  drift: Map<string, DeviceEvidence['drift']>
}

/**
 * What the current wave's updated devices did under the rollout's release. Only windows that name this release count:
 * what a device did under another one says nothing about it. Sums are kept by ingest, and only those that changed since
 * the last look are read: a wave may be the whole fleet, and it is looked at every second.
 */
export class EvidenceBook {
  readonly #known = new Map<string, Known>()

  async of(db: Db, rollout: Rollout, now: EpochMs): Promise<Evidence> {
    const wave = currentWave(rollout)
    if (rollout.phase !== 'running' || wave === undefined || !hasUpdated(rollout, wave)) {
      this.#known.delete(rollout.id)
      return noEvidence
    }
    const known = this.#knownOf(rollout, wave, now)
    const since = known.readAt - overlapMs
    for (const [deviceId, work] of await workSince(db, rollout, wave, since)) known.work.set(deviceId, work)
    for (const [deviceId, drift] of await driftSince(db, rollout, wave, since))
      known.drift.set(deviceId, drift)
    known.readAt = now
    const ids = new Set([...known.work.keys(), ...known.drift.keys()])
    return new Map([...ids].map((id) => [id, evidenceOf(known.work.get(id), known.drift.get(id))]))
  }

  #knownOf({ id, waves }: Rollout, wave: number, now: EpochMs): Known {
    const { judgedFrom } = waves[wave]!
    const held = this.#known.get(id)
    if (held && held.wave === wave && held.judgedFrom === judgedFrom && held.readAt <= now) return held
    const fresh = { wave, judgedFrom, readAt: 0, work: new Map(), drift: new Map() }
    this.#known.set(id, fresh)
    return fresh
  }
}

function evidenceOf(work: Work | undefined, drift: DeviceEvidence['drift'] = null): DeviceEvidence {
  return { inferences: 0, errors: 0, latencyCounts: [], ...work, drift }
}

function hasUpdated({ deployments }: Rollout, wave: number): boolean {
  for (const d of deployments.values()) if (d.wave === wave && d.state === 'succeeded') return true
  return false
}

/** Of the devices whose sums have changed since then: all that they did in this wave. */
async function workSince(db: Db, rollout: Rollout, wave: number, since: EpochMs): Promise<Map<string, Work>> {
  const rows = await sumsOf(db, rollout, wave)
    .where(
      'd.device_id',
      'in',
      sumsOf(db, rollout, wave).select('d.device_id').where('w.updated_at', '>=', since),
    )
    .select(['d.device_id as deviceId', 'd.baseline_json', 'w.inferences', 'w.errors', 'w.latency_json'])
    .execute()
  const before = new Map(
    rows.map(({ deviceId, baseline_json }) => [deviceId, JSON.parse(baseline_json ?? 'null') as Work | null]),
  )
  const totals = totalsOf(rows)
  return new Map([...totals].map(([id, total]) => [id, workAfter(before.get(id) ?? null, total)]))
}

function sumsOf(db: Db, { id, slot, goal }: Rollout, wave: number) {
  return db
    .selectFrom('rollout_device as d')
    .innerJoin('window_sum as w', 'w.device_id', 'd.device_id')
    .where('d.rollout_id', '=', id)
    .where('d.wave', '=', wave)
    .where('w.slot', '=', slot)
    .where('w.release_digest', '=', goal.releaseDigest)
}

type SumRow = { deviceId: string; inferences: number; errors: number; latency_json: string }

/** A device has a sum for each way in which its energy was known. */
function totalsOf(rows: readonly SumRow[]): Map<string, Work> {
  const totals = new Map<string, { inferences: number; errors: number; latencyCounts: number[] }>()
  for (const { deviceId, inferences, errors, latency_json } of rows) {
    const total = totals.get(deviceId) ?? { inferences: 0, errors: 0, latencyCounts: [] }
    total.inferences += inferences
    total.errors += errors
    addCounts(total.latencyCounts, JSON.parse(latency_json) as number[])
    totals.set(deviceId, total)
  }
  return totals
}

function workAfter(before: Work | null, total: Work): Work {
  if (!before) return total
  return {
    inferences: total.inferences - before.inferences,
    errors: total.errors - before.errors,
    latencyCounts: total.latencyCounts.map((count, k) => count - (before.latencyCounts[k] ?? 0)),
  }
}

async function driftSince(db: Db, rollout: Rollout, wave: number, since: EpochMs) {
  const rows = await db
    .selectFrom('rollout_device as d')
    .innerJoin('drift_state as s', 's.device_id', 'd.device_id')
    .select(['s.device_id', 's.verdict_json'])
    .where('d.rollout_id', '=', rollout.id)
    .where('d.wave', '=', wave)
    .where('s.slot', '=', rollout.slot)
    .where('s.release_digest', '=', rollout.goal.releaseDigest)
    .where('s.updated_at', '>=', since)
    .execute()
  return rows.map(({ device_id, verdict_json }) => {
    const { state, peak } = JSON.parse(verdict_json) as Verdict
    return [device_id, { word: state, peak }] as const
  })
}

/**
 * Where a wave is opened, or judged anew, what its devices have done so far is written down, in the same transaction: it
 * does not count. By order of commits and not by time, because no clock is asked.
 */
export async function saveBaselines(db: Db, rollout: Rollout, before: Rollout): Promise<void> {
  for (const [wave, after] of rollout.waves.entries()) {
    if (!isJudgedAnew(before.waves[wave], after)) continue
    const rows = await sumsOf(db, rollout, wave)
      .select(['d.device_id as deviceId', 'w.inferences', 'w.errors', 'w.latency_json'])
      .execute()
    for (const [deviceId, total] of totalsOf(rows))
      await db
        .updateTable('rollout_device')
        .set({ baseline_json: JSON.stringify(total) })
        .where('rollout_id', '=', rollout.id)
        .where('device_id', '=', deviceId)
        .execute()
  }
}

function isJudgedAnew(before: Wave | undefined, after: Wave): boolean {
  if (!before || isClosed(after) || after.state === 'failed') return false
  return isClosed(before) || before.state === 'failed'
}
