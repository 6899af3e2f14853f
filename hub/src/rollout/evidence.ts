import type { Verdict } from '@godwit/protocol/drift/verdict'
import type { EpochMs } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'
import { addCounts } from '../telemetry/latency.ts'
import type { DeviceEvidence, Evidence } from './judge.ts'
import { currentWave, type Rollout } from './rollout.ts'

export const noEvidence: Evidence = new Map()

/**
 * What the current wave's updated devices did under the rollout's release. Only windows that name this release count:
 * what a device did under another one says nothing about it.
 */
export async function collectEvidence(db: Db, rollout: Rollout): Promise<Evidence> {
  const index = currentWave(rollout)
  if (rollout.phase !== 'running' || index === undefined) return noEvidence
  const updated = [...rollout.deployments.values()].filter((d) => d.wave === index && d.state === 'succeeded')
  if (updated.length === 0) return noEvidence
  const evidence = await windowEvidence(db, rollout, index, rollout.waves[index]!.judgedFrom)
  for (const { deviceId, verdict_json } of await driftRows(db, rollout, index)) {
    const { state, peak } = JSON.parse(verdict_json) as Verdict
    const device = evidence.get(deviceId) ?? { inferences: 0, errors: 0, latencyCounts: [], drift: null }
    evidence.set(deviceId, { ...device, drift: { word: state, peak } })
  }
  return evidence
}

/** @param from windows that arrived earlier, by the hub's clock, are not counted: the device's own may be wrong */
async function windowEvidence(
  db: Db,
  rollout: Rollout,
  wave: number,
  from: EpochMs,
): Promise<Map<string, DeviceEvidence>> {
  const rows = await db
    .selectFrom('window_record as w')
    .innerJoin('rollout_device as d', 'd.device_id', 'w.device_id')
    .select(['w.device_id as deviceId', 'w.inferences', 'w.errors', 'w.latency_json'])
    .where('d.rollout_id', '=', rollout.id)
    .where('d.wave', '=', wave)
    .where('w.release_digest', '=', rollout.goal.releaseDigest)
    .where('w.slot', '=', rollout.slot)
    .where('w.received_at', '>=', from)
    .execute()
  const evidence = new Map<string, DeviceEvidence & { latencyCounts: number[] }>()
  for (const { deviceId, inferences, errors, latency_json } of rows) {
    const device = evidence.get(deviceId) ?? { inferences: 0, errors: 0, latencyCounts: [], drift: null }
    device.inferences += inferences
    device.errors += errors
    addCounts(device.latencyCounts, (JSON.parse(latency_json) as { counts: number[] }).counts)
    evidence.set(deviceId, device)
  }
  return evidence
}

function driftRows(
  db: Db,
  rollout: Rollout,
  wave: number,
): Promise<{ deviceId: string; verdict_json: string }[]> {
  return db
    .selectFrom('drift_state as s')
    .innerJoin('rollout_device as d', 'd.device_id', 's.device_id')
    .select(['s.device_id as deviceId', 's.verdict_json'])
    .where('d.rollout_id', '=', rollout.id)
    .where('d.wave', '=', wave)
    .where('s.release_digest', '=', rollout.goal.releaseDigest)
    .where('s.slot', '=', rollout.slot)
    .execute()
}
