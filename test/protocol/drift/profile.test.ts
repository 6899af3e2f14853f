import { buildCertifiedProfile, buildProfile } from '@godwit/protocol/drift/build-profile'
import { readProfile } from '@godwit/protocol/drift/profile'
import { cutPoints, normalScores } from '@godwit/protocol/drift/scores'
import { expect, test } from 'vitest'
import { autoregressive, bellIntegers, lcg } from './streams.ts'

const seed = 7
const healthy = (count: number) => ({ value: bellIntegers(lcg(seed), count) })

test('a profile goes through JSON and is read back unchanged', () => {
  const profile = buildProfile([healthy(64 * 60)])
  const copy = JSON.parse(JSON.stringify(profile))
  expect(readProfile(copy)).toEqual({ ok: true, value: profile })
})

test('a profile whose arrays do not fit each other is not read', () => {
  const profile = buildProfile([healthy(64 * 60)])
  const feature = profile.features[0]!
  const broken = (change: object) => readProfile({ ...profile, features: [{ ...feature, ...change }] })
  expect(broken({ edges: [...feature.edges].reverse() })).toMatchObject({ detail: /do not rise/ })
  expect(broken({ referenceCounts: [1, 2] })).toMatchObject({ detail: expect.stringContaining('has 2 bins') })
  expect(broken({ locationScores: [] })).toMatchObject({ ok: false })
  expect(broken({ surprise: 1 })).toMatchObject({ ok: false })
  expect(readProfile({ ...profile, features: [feature, feature] })).toMatchObject({ ok: false })
})

test('cut points of 1..1000 are its order statistics, and a constant has none', () => {
  const sorted = Array.from({ length: 1000 }, (_, i) => i + 1)
  expect(cutPoints(sorted)).toEqual([5, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 980, 995])
  expect(cutPoints([4, 4, 4])).toEqual([])
})

test('a bin holding half of the reference scores the quartile of the normal', () => {
  expect(normalScores([50, 50])).toEqual({ location: [-674, 674], spread: [455, 455] })
})

test('windows are cut inside each stream: two half windows make none', () => {
  const { value } = healthy(64 * 60)
  const profile = buildProfile([
    { value: value.slice(0, 64 * 30 + 32) },
    { value: value.slice(64 * 30 + 32) },
  ])
  expect(profile.windows).toBe(59)
})

test('a reference too short, ragged or empty is a fault that says so', () => {
  expect(() => buildProfile([healthy(64 * 19)])).toThrow(/19 windows of 64, expected 20/)
  expect(() => buildProfile([{ a: [1, 2], b: [1] }])).toThrow(/lengths 2, 1/)
  expect(() => buildProfile([{ a: Array(64 * 20).fill(Number.NaN) }])).toThrow(/no value in the reference/)
})

test('independent values are certified', () => {
  const { certification } = buildProfile([healthy(64 * 200)]).features[0]!
  expect(certification).toMatchObject({ certified: true })
  expect(certification.replayEvidence).toBeLessThan(20)
})

test('a wandering feature is not certified, and longer windows are tried before giving up', () => {
  const stream = [{ value: autoregressive(lcg(seed), 64 * 400, 0.97) }]
  const short = buildProfile(stream).features[0]!.certification
  expect(short.certified).toBe(false)
  const longer = buildCertifiedProfile(stream, [64, 256])
  expect(longer.windowSize).toBe(256)
  expect(longer.features[0]!.certification.worst).toBeLessThan(short.worst)
})

test('a reference whose second half differs from its first is not certified', () => {
  const next = lcg(seed)
  const drifting = [...bellIntegers(next, 64 * 100), ...bellIntegers(next, 64 * 100, 60)]
  expect(buildProfile([{ value: drifting }]).features[0]!.certification).toMatchObject({ certified: false })
})

test('devices that differ from each other are not certified as one reference', () => {
  const next = lcg(seed)
  const streams = [-150, 0, 150].map((offset) => ({ value: bellIntegers(next, 64 * 60, offset) }))
  expect(buildProfile(streams).features[0]!.certification.certified).toBe(false)
})

test('T between healthy windows averages about one less than the bins', () => {
  const feature = buildProfile([healthy(64 * 200)]).features[0]!
  expect(feature.meanT).toBeGreaterThan(13)
  expect(feature.meanT).toBeLessThan(17)
})
