import { latencyBucketMicros } from '@godwit/protocol/messages/telemetry'
import { quantileMicros } from '../telemetry/latency.ts'
import { type Deployment, hasEnded, hasFailed } from './deployment.ts'
import type { GateMetric, WavePlan } from './plan.ts'
import { gateSentence } from './sentence.ts'

/** What one device did under the rollout's release since the wave is judged. */
export type DeviceEvidence = {
  inferences: number
  errors: number
  /** Per latency bucket; one more bucket than bounds. */
  latencyCounts: readonly number[]
  /** Null: nothing was ever computed for this device and release. */
  drift: { word: 'not-enough-data' | 'quiet' | 'alarm'; peak: number } | null
}
export type Evidence = ReadonlyMap<string, DeviceEvidence>

export type GateState = 'pass' | 'fail' | 'inconclusive'
export type GateName = 'success_share' | 'sample' | GateMetric
export type GateVerdict = {
  name: GateName
  state: GateState
  /** Null where nothing was measured. */
  value: number | null
  threshold: number
  op: '<=' | '>='
  /** Devices the value rests on, of `of` that it should rest on. */
  n: number
  of: number
  sentence: string
}

type Bare = Omit<GateVerdict, 'sentence'>

/**
 * Judges a wave's devices. A gate may fail on a part of the evidence, because more of it cannot heal an excess that has
 * its sample; it passes only when every updated device has its sample. Missing data is inconclusive, always.
 *
 * @param overruled devices whose failure an operator has overruled by resuming
 */
export function judge(
  plan: WavePlan,
  deployments: readonly Deployment[],
  evidence: Evidence,
  overruled: readonly string[],
): GateVerdict[] {
  const counted = deployments.filter(
    (d) =>
      d.state !== 'skipped' && d.state !== 'unreached' && !(hasFailed(d) && overruled.includes(d.deviceId)),
  )
  const updated = counted
    .filter(({ state }) => state === 'succeeded')
    .map(({ deviceId }) => evidence.get(deviceId))
  const bare = [
    successShare(plan, counted),
    sample(plan, updated),
    ...plan.gates.map(({ metric, max }) => metrics[metric](max, plan.minSample, updated)),
  ]
  return bare.map((gate) => ({ ...gate, sentence: gateSentence(gate) }))
}

export function wordOf(gates: readonly GateVerdict[]): GateState {
  if (gates.some(({ state }) => state === 'fail')) return 'fail'
  return gates.length > 0 && gates.every(({ state }) => state === 'pass') ? 'pass' : 'inconclusive'
}

function successShare(plan: WavePlan, counted: readonly Deployment[]): Bare {
  const succeeded = counted.filter(({ state }) => state === 'succeeded').length
  const ended = counted.filter(hasEnded).length
  const of = counted.length
  const gate = { name: 'success_share', threshold: plan.successShare, op: '>=', n: ended, of } as const
  const value = ended === 0 ? null : succeeded / ended
  // Even if all the others succeed: waiting for them would only put more devices at risk.
  const best = of === 0 ? 1 : (of - (ended - succeeded)) / of
  if (best < plan.successShare) return { ...gate, value, state: 'fail' }
  const isEnough = ended === of && succeeded > 0
  return { ...gate, value, state: isEnough ? 'pass' : 'inconclusive' }
}

type Updated = readonly (DeviceEvidence | undefined)[]

function attemptsOf(device: DeviceEvidence | undefined): number {
  return device ? device.inferences + device.errors : 0
}

function sample(plan: WavePlan, updated: Updated): Bare {
  const attempts = updated.map(attemptsOf)
  const n = attempts.filter((count) => count >= plan.minSample).length
  const gate = { name: 'sample', threshold: plan.minSample, op: '>=', n, of: updated.length } as const
  if (updated.length === 0) return { ...gate, value: null, state: 'inconclusive' }
  return { ...gate, value: Math.min(...attempts), state: n === updated.length ? 'pass' : 'inconclusive' }
}

const metrics: Record<GateMetric, (max: number, minSample: number, updated: Updated) => Bare> = {
  error_rate(max, minSample, updated) {
    const full = sampled(updated, minSample)
    const errors = full.reduce((sum, device) => sum + device.errors, 0)
    const attempts = full.reduce((sum, device) => sum + attemptsOf(device), 0)
    return gateOf('error_rate', max, attempts === 0 ? null : errors / attempts, full.length, updated.length)
  },
  p95_micros(max, minSample, updated) {
    const full = sampled(updated, minSample).filter((device) => device.inferences > 0)
    const counts = latencyBucketMicros.map((_, k) =>
      full.reduce((sum, d) => sum + (d.latencyCounts[k] ?? 0), 0),
    )
    counts.push(full.reduce((sum, d) => sum + (d.latencyCounts[latencyBucketMicros.length] ?? 0), 0))
    return gateOf('p95_micros', max, quantileMicros(counts, 0.95), full.length, updated.length)
  },
  drift_evidence(max, _minSample, updated) {
    const known = updated.flatMap((device) => device?.drift ?? [])
    const peak = known.length === 0 ? null : Math.max(...known.map((drift) => drift.peak))
    const judged = known.filter(({ word, peak }) => word !== 'not-enough-data' || peak > max).length
    return gateOf('drift_evidence', max, peak, judged, updated.length)
  },
}

function gateOf(name: GateMetric, max: number, value: number | null, n: number, of: number): Bare {
  const gate = { name, threshold: max, op: '<=', value, n, of } as const
  if (value !== null && value > max) return { ...gate, state: 'fail' }
  return { ...gate, state: value !== null && of > 0 && n === of ? 'pass' : 'inconclusive' }
}

function sampled(updated: Updated, minSample: number): DeviceEvidence[] {
  return updated.filter(
    (device): device is DeviceEvidence => attemptsOf(device) >= minSample && device !== undefined,
  )
}
