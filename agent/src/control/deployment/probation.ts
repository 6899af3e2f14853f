import type { ProbationPolicy } from '@godwit/protocol/messages/directive'
import { latencyBucketMicros, type WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { DurationMs } from '@godwit/protocol/units'
import { probationBootsMax } from './deployment.ts'

/** What a release on probation has shown so far; stored with each window. Plain JSON. */
export type Evidence = {
  /** Time in service by the monotonic clock: a clock set forward must not shorten probation. */
  servedMs: DurationMs
  inferences: number
  errors: number
  latencyCounts: number[]
  /** Of the windows whose energy was measured, and of nothing else; absent before the first. */
  energy?: { joules: number; inferences: number }
  crashes: number
  boots: number
}

export const noEvidence: Evidence = {
  servedMs: 0,
  inferences: 0,
  errors: 0,
  latencyCounts: new Array(latencyBucketMicros.length + 1).fill(0),
  crashes: 0,
  boots: 0,
}

/** A meter that saw less of a window than this says nothing of its inferences; as for windows at the hub. */
const energyCoverageMin = 0.9

export function withWindow(evidence: Evidence, window: WindowRecord): Evidence {
  const energy = energyOf(evidence, window)
  return {
    ...evidence,
    ...(energy && { energy }),
    inferences: evidence.inferences + window.inferences,
    errors: evidence.errors + window.errors,
    latencyCounts: evidence.latencyCounts.map((count, i) => count + (window.latency.counts[i] ?? 0)),
  }
}

function energyOf({ energy }: Evidence, { energy: figure, inferences }: WindowRecord): Evidence['energy'] {
  if (figure?.label !== 'measured' || figure.coverage < energyCoverageMin || inferences === 0) return energy
  const { joules, inferences: before } = energy ?? { joules: 0, inferences: 0 }
  return { joules: joules + figure.joules / figure.coverage, inferences: before + inferences }
}

/**
 * Upper bound of the 95th percentile in microseconds, from bucket counts; undefined without any inference, infinite
 * when it lies beyond the last bound.
 */
export function p95MicrosOf(counts: readonly number[]): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return undefined
  let seen = 0
  for (const [i, count] of counts.entries()) {
    seen += count
    if (seen >= total * 0.95) return latencyBucketMicros[i] ?? Number.POSITIVE_INFINITY
  }
  return Number.POSITIVE_INFINITY
}

export type Judgement =
  | { verdict: 'undecided' }
  | { verdict: 'passed' }
  | { verdict: 'failed'; code: ResultCode; detail: string; isInferred?: true }

/**
 * Bad news counts at once, good news only when both time and number are reached. Error rate and latency wait for the
 * promised number of inferences, so that the first hiccup of a new process is not taken for its nature.
 */
export function judge(evidence: Evidence, policy: ProbationPolicy): Judgement {
  const { crashes, boots, inferences, errors } = evidence
  if (crashes > policy.crashesMax)
    return failed(
      'probation_crash',
      `the runner crashed ${crashes} times, at most ${policy.crashesMax} allowed`,
    )
  if (boots >= probationBootsMax)
    return {
      ...failed('probation_crash', `the agent started ${boots} times during this probation`),
      isInferred: true,
    }
  const tried = inferences + errors
  if (tried < policy.inferences) return { verdict: 'undecided' }
  const perMillion = tried === 0 ? 0 : Math.round((errors / tried) * 1e6)
  if (perMillion > policy.errorsPerMillionMax)
    return failed(
      'probation_error_rate',
      `${errors} of ${tried} inferences failed, at most ${policy.errorsPerMillionMax} per million allowed`,
    )
  const p95Micros = p95MicrosOf(evidence.latencyCounts)
  if (policy.p95MicrosMax !== undefined && p95Micros !== undefined && p95Micros > policy.p95MicrosMax)
    return failed(
      'probation_latency',
      `p95 is up to ${p95Micros} µs, at most ${policy.p95MicrosMax} µs allowed`,
    )
  const thirst = thirstOf(evidence, policy)
  if (thirst) return failed('probation_energy', thirst)
  const enough = inferences >= policy.inferences && evidence.servedMs >= policy.durationMs
  return { verdict: enough ? 'passed' : 'undecided' }
}

/** Why the model takes too much; undefined while it does not, or while too little of it was measured. */
function thirstOf(
  { energy }: Evidence,
  { energyMicrojoulesMax, inferences }: ProbationPolicy,
): string | undefined {
  if (energyMicrojoulesMax === undefined || !energy || energy.inferences < Math.max(1, inferences))
    return undefined
  const microjoules = Math.round((energy.joules * 1e6) / energy.inferences)
  return microjoules > energyMicrojoulesMax
    ? `${microjoules} µJ an inference, measured over ${energy.inferences}, at most ${energyMicrojoulesMax} allowed`
    : undefined
}

function failed(code: ResultCode, detail: string): Extract<Judgement, { verdict: 'failed' }> {
  return { verdict: 'failed', code, detail }
}
