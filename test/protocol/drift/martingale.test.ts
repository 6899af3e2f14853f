import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { type FeatureCounts, WindowCounters } from '@godwit/protocol/drift/counters'
import { deviceSeed } from '@godwit/protocol/drift/jitter'
import {
  againstBundle,
  againstItself,
  betOnBin,
  type DriftState,
  driftStep,
  driftThreshold,
} from '@godwit/protocol/drift/martingale'
import type { Profile } from '@godwit/protocol/drift/profile'
import { riskStep, startRisk } from '@godwit/protocol/drift/risk'
import { betTable, edgeRanks } from '@godwit/protocol/drift/urn'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { closeTo } from './reference-vectors.ts'
import { bellIntegers, lcg } from './streams.ts'

const seed = 20261123

function windowsOf(profile: Profile, values: readonly number[]): FeatureCounts[] {
  const counters = new WindowCounters(profile)
  return values.flatMap((value) => counters.observe([value])?.features['value'] ?? [])
}

function run(profile: Profile, start: DriftState, windows: readonly FeatureCounts[]): DriftState {
  let state = start
  for (const counts of windows) state = driftStep(profile, profile.features[0]!, state, counts)
  return state
}

function reached(state: DriftState) {
  if (state.phase !== 'betting') throw new Error('still commissioning')
  return state
}

test('one bet by hand: urn 1, 2, 1 with tilts 1, 2, 4 pays 4 / 2.25 for the top bin', () => {
  const [wealth] = betOnBin([1, 2, 1], [0], [[1, 2, 4]], 2, 0.25)
  expect(wealth).toEqual(closeTo(4 / 9))
})

test('50 reference windows make eight rank bins whose gaps add up to 51', () => {
  expect(edgeRanks(50)).toEqual([1, 5, 15, 35, 45, 49, 50])
  expect(betTable(50).gaps).toEqual([1, 4, 10, 20, 10, 4, 1, 1])
})

test('whatever the urn holds, no strategy expects to win', () => {
  const { tilts, gaps } = betTable(100)
  fc.assert(
    fc.property(fc.array(fc.nat(500), { minLength: gaps.length, maxLength: gaps.length }), (more) => {
      const urn = gaps.map((gap, g) => gap + more[g]!)
      const total = urn.reduce((a, b) => a + b)
      for (const tilt of tilts) {
        const mean = urn.reduce(
          (sum, n, bin) => sum + (n / total) * betOnBin(urn, [1], [tilt], bin, 0)[0]!,
          0,
        )
        expect(Math.abs(mean - 1)).toBeLessThan(1e-12)
      }
    }),
    { seed, numRuns: 200 },
  )
})

test(`over exchangeable windows the evidence has mean at most 1 and rarely reaches 20 (seed ${seed})`, () => {
  const next = lcg(seed)
  const streams = 400
  let total = 0
  let alarms = 0
  for (let i = 0; i < streams; i++) {
    // Reference and live windows of one stream, shuffled together: exchangeable by construction.
    const profile = buildProfile([{ value: bellIntegers(next, 20 * 8) }], { windowSize: 8, seed: i })
    const windows = windowsOf(profile, bellIntegers(next, 80 * 8))
    const state = reached(run(profile, againstItself(next(), 20), windows))
    total += state.evidence
    if (state.alarmedAt !== null) alarms++
  }
  expect(total / streams).toBeLessThan(1.2)
  // At most 5 % expected, 20 of 400; 36 would be more than three standard deviations above that.
  expect(alarms).toBeLessThan(36)
})

test('a shifted device alarms against the bundle and latches what it reached', () => {
  const next = lcg(seed)
  const profile = buildProfile([{ value: bellIntegers(next, 100 * 64) }])
  const start = againstBundle(profile, deviceSeed('mote-1', 'value', 'ab'.repeat(32)))
  const shifted = reached(run(profile, start, windowsOf(profile, bellIntegers(next, 20 * 64, 100))))
  expect(shifted.alarmedAt).toBeLessThan(10)
  expect(shifted.lead).toBe('location')
  const back = reached(run(profile, shifted, windowsOf(profile, bellIntegers(next, 64))))
  expect(back).toMatchObject({ alarmedAt: shifted.alarmedAt })
  expect(back.peak).toBeGreaterThanOrEqual(driftThreshold)
})

test('a constant feature of which every window is a tie stays quiet', () => {
  const profile = buildProfile([{ value: Array(64 * 50).fill(7) }])
  const state = reached(run(profile, againstBundle(profile, 5), windowsOf(profile, Array(64 * 300).fill(7))))
  expect(state.alarmedAt).toBeNull()
})

test("a device's constant offset is no drift against its own first windows", () => {
  const next = lcg(seed)
  const profile = buildProfile([{ value: bellIntegers(next, 100 * 64) }])
  const windows = windowsOf(profile, bellIntegers(next, 200 * 64, 90))
  expect(reached(run(profile, againstItself(9), windows)).alarmedAt).toBeNull()
  expect(reached(run(profile, againstBundle(profile, 9), windows)).alarmedAt).not.toBeNull()
})

test('a state that went through JSON goes on to the same evidence, in commissioning and after', () => {
  const next = lcg(seed)
  const profile = buildProfile([{ value: bellIntegers(next, 40 * 8) }], { windowSize: 8 })
  const windows = windowsOf(profile, bellIntegers(next, 60 * 8))
  const whole = run(profile, againstItself(3, 30), windows)
  for (const cut of [0, 10, 29, 30, 45]) {
    const saved = JSON.parse(JSON.stringify(run(profile, againstItself(3, 30), windows.slice(0, cut))))
    expect(run(profile, saved, windows.slice(cut))).toEqual(whole)
  }
})

test('another device, feature or bundle draws other jitter', () => {
  const seeds = [
    deviceSeed('a', 'x', 'd1'),
    deviceSeed('b', 'x', 'd1'),
    deviceSeed('a', 'y', 'd1'),
    deviceSeed('a', 'x', 'd2'),
    deviceSeed('ax', '', 'd1'),
  ]
  expect(new Set(seeds).size).toBe(seeds.length)
})

test('one wrong label by hand: stakes .05, .15, .4 at half the prior', () => {
  // Factors for loss 1 at a tolerated risk of .5 are 1.05, 1.15, 1.4; half the stake is on them.
  expect(riskStep(startRisk, 1, 0.5).evidence).toEqual(closeTo(0.5 * (3.6 / 3) + 0.5))
})

test('a model as good as promised does not alarm on risk, a worse one does', () => {
  const next = lcg(seed)
  const after = (errorRate: number) => {
    let state = startRisk
    for (let i = 0; i < 2000; i++) state = riskStep(state, next() / 2 ** 32 < errorRate ? 1 : 0, 0.13)
    return state.alarmedAt
  }
  expect(after(0.1)).toBeNull()
  expect(after(0.3)).not.toBeNull()
})
