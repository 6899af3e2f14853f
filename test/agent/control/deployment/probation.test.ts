import { judge, noEvidence, p95MicrosOf, withWindow } from '@godwit/agent/control/deployment/probation'
import { latencyBucketMicros, type WindowRecord } from '@godwit/protocol/messages/telemetry'
import { describe, expect, test } from 'vitest'

const policy = {
  durationMs: 60_000,
  inferences: 20,
  errorsPerMillionMax: 50_000,
  crashesMax: 0,
  p95MicrosMax: 1_000,
}
const good = { ...noEvidence, servedMs: 60_000, inferences: 20 }

describe('probation', () => {
  test('passes when both the time and the number are reached', () => {
    expect(judge(good, policy).verdict).toBe('passed')
    expect(judge({ ...good, servedMs: 59_999 }, policy).verdict).toBe('undecided')
    expect(judge({ ...good, inferences: 19 }, policy).verdict).toBe('undecided')
    // Twenty were tried, nineteen answered.
    expect(judge({ ...good, inferences: 19, errors: 1 }, policy).verdict).toBe('undecided')
  })

  test('a crash ends it at once', () => {
    expect(judge({ ...noEvidence, crashes: 1 }, policy)).toMatchObject({
      verdict: 'failed',
      code: 'probation_crash',
    })
  })

  test('three starts of the agent within one probation end it', () => {
    expect(judge({ ...good, boots: 2, servedMs: 0 }, policy).verdict).toBe('undecided')
    expect(judge({ ...good, boots: 3 }, policy)).toMatchObject({ code: 'probation_crash' })
  })

  test('a model that only fails is caught although it answers nothing', () => {
    expect(judge({ ...noEvidence, errors: 20 }, policy)).toMatchObject({ code: 'probation_error_rate' })
    expect(judge({ ...noEvidence, errors: 3 }, policy).verdict).toBe('undecided')
  })

  test('one error in twenty is allowed by 50,000 per million, two are not', () => {
    expect(judge({ ...good, inferences: 57, errors: 3 }, policy).verdict).toBe('passed')
    expect(judge({ ...good, inferences: 54, errors: 6 }, policy)).toMatchObject({
      code: 'probation_error_rate',
    })
  })

  test('the 95th percentile is the bound of the bucket that it lies in', () => {
    const counts = latencyBucketMicros.map((bound) => (bound === 100 ? 95 : bound === 63_000 ? 5 : 0))
    expect(p95MicrosOf([...counts, 0])).toBe(100)
    expect(p95MicrosOf(counts.map((count, i) => (latencyBucketMicros[i] === 100 ? count - 1 : count)))).toBe(
      63_000,
    )
    expect(p95MicrosOf(noEvidence.latencyCounts)).toBeUndefined()
    expect(p95MicrosOf([...latencyBucketMicros.map(() => 0), 7])).toBe(Number.POSITIVE_INFINITY)
  })

  test('latency beyond the policy ends it', () => {
    const slow = [...latencyBucketMicros.map(() => 0), 20]
    expect(judge({ ...good, latencyCounts: slow }, policy)).toMatchObject({ code: 'probation_latency' })
  })

  test('joules end it where they were measured, over as many inferences as it asks for', () => {
    const thrifty = { ...policy, energyMicrojoulesMax: 500 }
    const window = (label: 'measured' | 'modelled' | 'assumed', coverage = 1) =>
      ({
        inferences: 10,
        errors: 0,
        latency: { counts: [] },
        energy: { joules: 0.006 * coverage, label, coverage },
      }) as unknown as WindowRecord
    const after = (...windows: WindowRecord[]) => judge(windows.reduce(withWindow, good), thrifty)
    expect(after(window('measured'), window('measured', 0.95))).toMatchObject({
      code: 'probation_energy',
      detail: '600 µJ an inference, measured over 20, at most 500 allowed',
    })
    expect(after(window('measured'), window('assumed'), window('modelled')).verdict).toBe('passed')
    expect(after(window('measured'), window('measured', 0.5)).verdict).toBe('passed')
    const generous = { ...policy, energyMicrojoulesMax: 600 }
    expect(judge([window('measured'), window('measured')].reduce(withWindow, good), generous).verdict).toBe(
      'passed',
    )
  })
})
