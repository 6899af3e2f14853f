import { effect } from '@godwit/protocol/drift/effect'
import { adjustedPeak, cohortWindow, discoveries } from '@godwit/protocol/drift/fleet'
import { clopperPearsonUpper, klUpper, normalQuantile } from '@godwit/protocol/drift/numerics'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { closeTo } from './reference-vectors.ts'

test('e-BH by hand: of 40, 30, 15, 1 at level .1 the first three stand out', () => {
  // k * e / K >= 10: 1 * 40 / 4 = 10 yes, 2 * 30 / 4 = 15 yes, 3 * 15 / 4 = 11.25 yes, 4 * 1 / 4 no.
  expect(discoveries([1, 30, 40, 15], 0.1)).toEqual([2, 1, 3])
  expect(discoveries([1, 19, 40, 12], 0.1)).toEqual([2])
  expect(discoveries([9.9], 0.1)).toEqual([])
  expect(discoveries([])).toEqual([])
})

test('more evidence for one stream never shortens the list', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }),
      fc.nat(),
      (evidence, at) => {
        const more = evidence.map((e, i) => (i === at % evidence.length ? e * 2 : e))
        expect(discoveries(more).length).toBeGreaterThanOrEqual(discoveries(evidence).length)
      },
    ),
    { seed: 1, numRuns: 200 },
  )
})

test('the adjuster pays for hindsight: always less than the peak, and continuous at 1', () => {
  expect(adjustedPeak(0.99)).toBe(0)
  expect(adjustedPeak(1)).toBe(0.5)
  expect(adjustedPeak(Math.exp(0.01) * (1 - 1e-12))).toBeCloseTo(
    adjustedPeak(Math.exp(0.01) * (1 + 1e-12)),
    11,
  )
  expect(adjustedPeak(Math.E)).toEqual(closeTo(Math.E - 2))
})

test('a cohort window is the sum of its devices, and none while a device is missing', () => {
  const of = (index: number, ...counts: number[]) => ({
    index,
    features: { score: { counts, repeat: 1, missing: 0, outside: 2 } },
  })
  const sum = { index: 3, features: { score: { counts: [5, 5], repeat: 2, missing: 0, outside: 4 } } }
  expect(cohortWindow([of(3, 1, 4), of(3, 4, 1)], 2)).toEqual(sum)
  expect(cohortWindow([of(3, 1, 4)], 2)).toBeNull()
  expect(cohortWindow([of(3, 1, 4), of(4, 4, 1)], 2)).toBeNull()
})

test('identical counts have no effect size, disjoint ones the largest', () => {
  expect(effect([5, 5], [50, 50], 1)).toMatchObject({ jensenShannon: 0, hellinger: 0 })
  expect(effect([10, 0], [0, 10], 1)).toMatchObject({ jensenShannon: 1, hellinger: 1, t: 20 })
})

test('numerics against closed forms', () => {
  expect(normalQuantile(0.5)).toBe(0)
  expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 8)
  // No success in m trials: (1 - p)^m = delta.
  expect(clopperPearsonUpper(0, 50, 0.01)).toEqual(closeTo(1 - 0.01 ** (1 / 50)))
  expect(klUpper(0, 50, 0.01)).toEqual(closeTo(1 - 0.01 ** (1 / 50)))
  // One of two: 1 - p^2 = delta.
  expect(clopperPearsonUpper(1, 2, 0.19)).toEqual(closeTo(0.9))
  // Thousands of trials neither underflow nor reach 1.
  expect(clopperPearsonUpper(1250, 5000, 0.0001)).toBeGreaterThan(0.25)
  expect(clopperPearsonUpper(1250, 5000, 0.0001)).toBeLessThan(0.28)
})
