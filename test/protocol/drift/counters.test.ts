import { buildProfile } from '@godwit/protocol/drift/build-profile'
import {
  type DriftWindow,
  type FeatureCounts,
  mergeCounts,
  WindowCounters,
} from '@godwit/protocol/drift/counters'
import { countsProblem } from '@godwit/protocol/drift/counts'
import type { FeatureProfile } from '@godwit/protocol/drift/profile'
import { windowStatistics } from '@godwit/protocol/drift/statistics'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bellIntegers, lcg } from './streams.ts'

const seed = 20261122
const next = lcg(seed)
const profile = buildProfile(
  [{ level: bellIntegers(next, 320), state: Array.from({ length: 320 }, (_, i) => [1, 1, 2, 5][i % 4]!) }],
  { windowSize: 8, categorical: ['state'] },
)
const [level, state] = profile.features as [FeatureProfile, FeatureProfile]

const slot = fc.tuple(
  fc.oneof(fc.integer({ min: -900, max: 900 }), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 0)),
  fc.constantFrom(1, 2, 5, 3, Number.NaN),
)
const windowOf = fc.array(slot, { minLength: 8, maxLength: 8 })

function run(counters: WindowCounters, slots: readonly (readonly number[])[]): DriftWindow[] {
  return slots.flatMap((values) => counters.observe(values) ?? [])
}

const countsOf = (slots: [number, number][], name: string): FeatureCounts =>
  run(new WindowCounters(profile), slots)[0]!.features[name]!

test('a window worked by hand: bins by upper-inclusive edges, repeats, absences and outsiders', () => {
  const hand = {
    name: 'hand',
    kind: 'continuous',
    edges: [10, 20],
    support: { min: 0, max: 30 },
  } as FeatureProfile
  const counters = new WindowCounters({ ...profile, windowSize: 7, features: [hand] })
  const windows = run(counters, [[10], [10], [Number.NaN], [10], [20], [31], [Number.NEGATIVE_INFINITY]])
  expect(windows).toEqual([
    { index: 0, features: { hand: { counts: [3, 1, 1], repeat: 2, missing: 2, outside: 1 } } },
  ])
})

test('the first value of a window repeats nothing, whatever the window before ended with', () => {
  const windows = run(new WindowCounters(profile), Array(16).fill([5, 1]))
  expect(windows.map((window) => window.features['level']!.repeat)).toEqual([7, 7])
})

test('a category the reference never saw counts as missing and as outside', () => {
  const counts = countsOf([[0, 3], ...Array(7).fill([0, 2])], 'state')
  expect(counts).toEqual({ counts: [0, 7, 0], repeat: 6, missing: 1, outside: 1 })
})

test('statistics worked by hand', () => {
  const scores = {
    kind: 'continuous' as const,
    referenceCounts: [25, 50, 25],
    locationScores: [-1000, 0, 1000],
    spreadScores: [1000, 0, 1000],
  }
  const counts = { counts: [0, 1, 3], repeat: 2, missing: 4, outside: 0 }
  // Cumulative 0, 1, 4 of 4 against 25, 75, 100 of 100: the largest gap is |100 * 1 - 4 * 75| = 200.
  expect(windowStatistics(scores, counts)).toEqual([3000, 3000, 200, 2, 4])
  const categories = { ...scores, kind: 'categorical' as const, locationScores: [1386, 693, 1386] }
  // Surprisal 693 + 3 * 1386, squares 1 + 9, variation |0 - 100| + |100 - 200| + |300 - 100|.
  expect(windowStatistics(categories, counts)).toEqual([4851, 10, 400, 2, 4])
})

test('killed and restored in the middle of a window: the windows are the same', () => {
  fc.assert(
    fc.property(fc.array(slot, { maxLength: 40 }), fc.nat(40), (slots, cut) => {
      const whole = run(new WindowCounters(profile), slots)
      const before = new WindowCounters(profile)
      const first = run(before, slots.slice(0, cut))
      const after = WindowCounters.restore(profile, JSON.parse(JSON.stringify(before.snapshot())))
      expect([...first, ...run(after, slots.slice(cut))]).toEqual(whole)
    }),
    { seed, numRuns: 200 },
  )
})

test('a snapshot taken under another profile is not restored', () => {
  const snapshot = new WindowCounters(profile).snapshot()
  const other = { ...profile, features: [level] }
  expect(() => WindowCounters.restore(other, snapshot)).toThrow(/another profile/)
  const swapped = { ...profile, features: [state, level] }
  expect(() => WindowCounters.restore(swapped, snapshot)).toThrow(/another feature/)
})

test('adding windows is commutative and associative and equals the single histogram', () => {
  fc.assert(
    fc.property(windowOf, windowOf, windowOf, (a, b, c) => {
      for (const { name } of profile.features) {
        const [x, y, z] = [countsOf(a, name), countsOf(b, name), countsOf(c, name)]
        expect(mergeCounts(x, y)).toEqual(mergeCounts(y, x))
        expect(mergeCounts(mergeCounts(x, y), z)).toEqual(mergeCounts(x, mergeCounts(y, z)))
        const single = new WindowCounters({ ...profile, windowSize: 24 })
        const [all] = run(single, [...a, ...b, ...c])
        expect(mergeCounts(mergeCounts(x, y), z).counts).toEqual(all!.features[name]!.counts)
        expect(mergeCounts(mergeCounts(x, y), z).missing).toBe(all!.features[name]!.missing)
        expect(mergeCounts(mergeCounts(x, y), z).outside).toBe(all!.features[name]!.outside)
      }
    }),
    { seed, numRuns: 100 },
  )
})

test('counts of two profiles do not add', () => {
  const counts = countsOf(Array(8).fill([0, 1]), 'level')
  expect(() => mergeCounts(counts, { ...counts, counts: [8] })).toThrow(/two profiles/)
})

test('every window accounts for every slot', () => {
  fc.assert(
    fc.property(windowOf, (slots) => {
      for (const feature of profile.features) {
        expect(countsProblem(feature, countsOf(slots, feature.name), 8)).toBeNull()
      }
    }),
    { seed, numRuns: 100 },
  )
})
