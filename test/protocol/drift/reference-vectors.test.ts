import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { WindowCounters } from '@godwit/protocol/drift/counters'
import type { FeatureCounts } from '@godwit/protocol/drift/counts'
import { effect } from '@godwit/protocol/drift/effect'
import { FeatureBins } from '@godwit/protocol/drift/feature-bins'
import { adjustedPeak, discoveries } from '@godwit/protocol/drift/fleet'
import { fmix32, jitter32 } from '@godwit/protocol/drift/jitter'
import {
  againstBundle,
  againstItself,
  type Betting,
  betOnBin,
  type DriftState,
  driftStep,
} from '@godwit/protocol/drift/martingale'
import { clopperPearsonUpper, klUpper, normalQuantile } from '@godwit/protocol/drift/numerics'
import { staked } from '@godwit/protocol/drift/prior'
import { riskStep, startRisk } from '@godwit/protocol/drift/risk'
import { skewStep, startSkew } from '@godwit/protocol/drift/skew'
import { sum, windowStatistics } from '@godwit/protocol/drift/statistics'
import { betTable, rankBin } from '@godwit/protocol/drift/urn'
import { describe, expect, test } from 'vitest'
import { closeTo, referenceVectors } from './reference-vectors.ts'
import { bellIntegers, lcg } from './streams.ts'

const vectors = referenceVectors('anytime-drift.json')
const effects = referenceVectors('drift-energy.json')
const prior = { atOnce: 0.5, tauWindows: 64 }

const cumulative = (counts: readonly number[]) => counts.map((_, k) => sum(counts.slice(0, k + 1)))

const numericProfile = () =>
  buildProfile([{ value: vectors.numeric_feature.reference }], { windowSize: 8, seed: 42 })

function windowsOf(profile: ReturnType<typeof buildProfile>, values: readonly number[]): FeatureCounts[] {
  const counters = new WindowCounters(profile)
  return values.flatMap((value) => counters.observe([value])?.features['value'] ?? [])
}

/** The state after each window; the bins it fell into are read off the urns that grew. */
function replay(
  profile: ReturnType<typeof buildProfile>,
  start: DriftState,
  windows: readonly FeatureCounts[],
): { state: DriftState; bins: number[] }[] {
  const feature = profile.features[0]!
  let state = start
  return windows.map((counts) => {
    const before = state
    state = driftStep(profile, feature, state, counts, prior)
    return { state, bins: before.phase === 'betting' ? grown(before, state as Betting) : [] }
  })
}

const grown = (before: Betting, after: Betting) =>
  after.urns.map((urn, s) => urn.findIndex((n, g) => n > before.urns[s]![g]!))

describe.skipIf(!vectors)('reference vectors anytime-drift.json (skipped where ../shared is absent)', () => {
  test('hash, jitter, prior, quantile and confidence bounds', () => {
    for (const v of vectors.fmix32) expect(fmix32(v.in)).toBe(v.out)
    for (const v of vectors.jitter) expect(jitter32(v.seed, v.window, v.stat)).toBe(v.out)
    for (const v of vectors.prior_W)
      expect(staked({ atOnce: v.rho, tauWindows: v.tau }, v.b)).toEqual(closeTo(v.W))
    for (const v of vectors.probit) expect(normalQuantile(v.p)).toEqual(closeTo(v.z))
    for (const v of vectors.clopper_pearson)
      expect(clopperPearsonUpper(v.c, v.m, v.delta)).toEqual(closeTo(v.pbar))
    for (const v of vectors.kl_upper) expect(klUpper(v.phat, v.m, v.delta)).toEqual(closeTo(v.pbar))
  })

  test('the urn worked by hand', () => {
    const { gaps_r, tilt_tables_T, rho, tau, rows } = vectors.urn_by_hand
    const urn = [...gaps_r]
    let wealth = [0, 0]
    rows.forEach((row: { bin: number; wealth: number[]; cash: number; M: number }, t: number) => {
      const by = (b: number) => staked({ atOnce: rho, tauWindows: tau }, b)
      wealth = betOnBin(urn, wealth, tilt_tables_T, row.bin, (by(t + 1) - by(t)) / 2)
      urn[row.bin]++
      expect(wealth).toEqual(row.wealth.map(closeTo))
      expect(sum(wealth) + 1 - by(t + 1)).toEqual(closeTo(row.M))
    })
  })

  test('the profile of a numeric feature', () => {
    const expected = vectors.numeric_feature.profile
    const profile = numericProfile()
    const feature = profile.features[0]!
    expect(profile.windows).toBe(expected.M)
    expect(feature.edges).toEqual(expected.edges)
    expect(cumulative(feature.referenceCounts)).toEqual(expected.refCumCounts)
    expect(feature.locationScores).toEqual(expected.locationScores)
    expect(feature.spreadScores).toEqual(expected.spreadScores)
    const first = windowsOf(profile, vectors.numeric_feature.reference.slice(0, 40))
    expect(first.map((counts) => windowStatistics(feature, counts))).toEqual(expected.first5WindowStats)
    const table = betTable(profile.windows)
    for (const [s, statistic] of expected.stats.entries()) {
      expect(feature.rankEdges[s]!.values).toEqual(statistic.rankEdges)
      expect(feature.rankEdges[s]!.jitters).toEqual(statistic.rankEdgeJitters)
      expect(table.gaps).toEqual(statistic.gaps)
      for (const [j, row] of statistic.T.entries()) expect(table.tilts[j]).toEqual(row.map(closeTo))
    }
  })

  test('the drift channel against the bundle, and its first alarm', () => {
    const { live, deviceSeed, windowsAsReported, expected, firstAlarmWindow_alpha05 } =
      vectors.numeric_feature
    const profile = numericProfile()
    const windows = windowsOf(profile, live)
    expect(windows.map(({ outside: _, ...counts }) => counts)).toEqual(windowsAsReported)
    const steps = replay(profile, againstBundle(profile, deviceSeed), windows)
    for (const [w, v] of expected.entries()) {
      const state = steps[w]!.state as Betting
      expect(windowStatistics(profile.features[0]!, windows[w]!)).toEqual(v.stats)
      expect(steps[w]!.bins).toEqual(v.bins)
      expect(state.evidence).toEqual(closeTo(v.M))
      expect(state.lead).toBe(v.leading)
    }
    expect((steps.at(-1)!.state as Betting).alarmedAt).toBe(firstAlarmWindow_alpha05)
  })

  test("the drift channel against the device's own first windows", () => {
    const { C, deviceSeed, rankEdges, expected } = vectors.own_reference
    const profile = numericProfile()
    const next = lcg(77)
    const values = [...bellIntegers(next, 28 * 8, 60), ...bellIntegers(next, 8 * 8, 240)]
    const steps = replay(profile, againstItself(deviceSeed, C), windowsOf(profile, values))
    const start = steps[C - 1]!.state as Betting
    for (const [s, edges] of rankEdges.entries()) {
      expect(start.own!.rankEdges[s]!.values).toEqual(edges.rankEdges)
      expect(start.urns[s]).toEqual(edges.gaps)
    }
    for (const v of expected) {
      expect(steps[v.window]!.bins).toEqual(v.bins)
      expect((steps[v.window]!.state as Betting).evidence).toEqual(closeTo(v.M))
    }
  })

  test('the skew channel', () => {
    const { thresholds, pbar, expected } = vectors.skew_channel
    const profile = numericProfile()
    const feature = profile.features[0]!
    expect(profile.skewChances).toEqual(pbar.map(closeTo))
    expect(feature.skewThresholds).toEqual(thresholds)
    let state = startSkew(profile)
    const windows = windowsOf(profile, bellIntegers(lcg(5), expected.length * 8, 230))
    for (const [w, v] of expected.entries()) {
      state = skewStep(profile, feature, state, windows[w]!, prior)
      expect(state.evidence).toEqual(closeTo(v.M))
    }
  })

  test('a categorical feature', () => {
    const { R, scores, rankEdges, gaps, live, expected } = vectors.categorical
    const next = lcg(9)
    const code = () => {
      const u = (next() >>> 16) / 65536
      return u < 0.5 ? 0 : u < 0.75 ? 1 : u < 0.95 ? 2 : 3
    }
    const reference = Array.from({ length: 320 }, code)
    const profile = buildProfile([{ value: reference }], { windowSize: 8, seed: 3, categorical: ['value'] })
    const feature = profile.features[0]!
    expect(feature.referenceCounts).toEqual(R)
    expect(feature.locationScores).toEqual(scores)
    expect(feature.rankEdges.map((edges) => edges.values)).toEqual(rankEdges)
    expect(betTable(profile.windows).gaps).toEqual(gaps[0])
    const windows = windowsOf(profile, live)
    // The vector leaves its two seeds out; 3 and 4 are the smallest that give every one of its 40 bins.
    const steps = replay(profile, againstBundle(profile, 4), windows)
    for (const [w, v] of expected.entries()) {
      expect(windowStatistics(feature, windows[w]!)).toEqual(v.stats)
      expect(steps[w]!.bins).toEqual(v.bins)
      expect((steps[w]!.state as Betting).evidence).toEqual(closeTo(v.M))
    }
  })

  test('the risk channel', () => {
    const { theta, losses, M } = vectors.risk
    let state = startRisk
    losses.forEach((loss: number, i: number) => {
      state = riskStep(state, loss, theta, prior)
      expect(state.evidence).toEqual(closeTo(M[i]))
    })
  })

  test('e-BH and the adjuster of peaks', () => {
    const { evidence, rejected_alpha_01, rejected_alpha_05, rejected_alpha_10 } = vectors.ebh
    expect(discoveries(evidence, 0.01)).toEqual(rejected_alpha_01)
    expect(discoveries(evidence, 0.05)).toEqual(rejected_alpha_05)
    expect(discoveries(evidence, 0.1)).toEqual(rejected_alpha_10)
    for (const { m, A } of vectors.adjuster.rows) expect(adjustedPeak(m)).toEqual(closeTo(A))
  })

  test('hub and device count alike: replaying values through one feature gives the reported window', () => {
    const profile = numericProfile()
    const bins = new FeatureBins(profile.features[0]!)
    for (const value of vectors.numeric_feature.live.slice(0, 8)) bins.observe(value)
    expect(bins.read()).toMatchObject(vectors.numeric_feature.windowsAsReported[0])
    expect(rankBin(profile.features[0]!.rankEdges[0]!, 1028, 0)).toBe(
      vectors.numeric_feature.expected[0].bins[0],
    )
  })
})

describe.skipIf(!effects)('reference vectors drift-energy.json (skipped where ../shared is absent)', () => {
  test('effect sizes for display', () => {
    for (const v of effects.own_rule.cases) {
      const found = effect(v.ref_counts, v.window_counts, v.mu_T)
      expect(found.psi).toEqual(closeTo(v.expected.psi_jeffreys))
      expect(found.psiBiasCorrected).toEqual(closeTo(v.expected.psi_bias_corrected))
      expect(found.t).toEqual(closeTo(v.expected.T))
      expect(found.jensenShannon).toEqual(closeTo(v.expected.js_distance_base2))
      expect(found.hellinger).toEqual(closeTo(v.expected.hellinger))
    }
  })
})
