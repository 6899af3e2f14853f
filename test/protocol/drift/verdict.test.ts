import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { type DriftWindow, WindowCounters } from '@godwit/protocol/drift/counters'
import { driftVerdict, startVerdict, takeWindow, type VerdictState } from '@godwit/protocol/drift/verdict'
import { expect, test } from 'vitest'
import { bellIntegers, lcg } from './streams.ts'

const next = lcg(4)
const reference = () => ({ score: bellIntegers(next, 64 * 100), increment: bellIntegers(next, 64 * 100) })
const profile = buildProfile([reference(), reference()])

function windows(count: number, shift: { score?: number; increment?: number } = {}): DriftWindow[] {
  const counters = new WindowCounters(profile)
  const score = bellIntegers(next, count * 64, shift.score)
  const increment = bellIntegers(next, count * 64, shift.increment)
  return score.flatMap((value, i) => counters.observe([value, increment[i]!]) ?? [])
}

function take(list: readonly DriftWindow[], start: VerdictState = startVerdict(profile)): VerdictState {
  return list.reduce((state, window) => {
    const taken = takeWindow(profile, state, window)
    return taken.taken ? taken.state : state
  }, start)
}

test('before any window, and after a few, there is not enough data', () => {
  const none = driftVerdict(profile, startVerdict(profile))
  expect(none).toMatchObject({ state: 'not-enough-data', windows: 0, threshold: 25, lead: null })
  expect(driftVerdict(profile, take(windows(none.windowsNeeded - 1))).state).toBe('not-enough-data')
})

test('a device like the reference becomes quiet and stays so', () => {
  const verdict = driftVerdict(profile, take(windows(300)))
  expect(verdict.state).toBe('quiet')
  expect(verdict.peak).toBeLessThan(verdict.threshold)
  expect(verdict.falseAlarmAtMost).toBeCloseTo(0.1)
})

test('a tenth of a standard deviation lies within the tolerance', () => {
  expect(driftVerdict(profile, take(windows(200, { score: 18 }))).state).toBe('quiet')
})

test('a shifted feature alarms and is named with its statistic and direction', () => {
  const up = driftVerdict(profile, take(windows(20, { increment: 150 })))
  expect(up).toMatchObject({
    state: 'alarm',
    lead: { feature: 'increment', statistic: 'location', direction: 'up' },
  })
  expect(up.features.map(({ feature, state }) => [feature, state])).toEqual([
    ['score', 'quiet'],
    ['increment', 'alarm'],
  ])
  const down = driftVerdict(profile, take(windows(20, { score: -150 })))
  expect(down.lead).toEqual({ feature: 'score', statistic: 'location', direction: 'down' })
})

test('an alarm stays when the device recovers, and its evidence is seen to fall', () => {
  const shifted = take(windows(8, { score: 150 }))
  const later = windows(30).map((window) => ({ ...window, index: window.index + 8 }))
  const verdict = driftVerdict(profile, take(later, shifted))
  expect(verdict.state).toBe('alarm')
  expect(verdict.evidence).toBeLessThan(verdict.peak)
})

test('a silent sensor alarms on missing values, a stuck one on repeats', () => {
  const silent = Array.from({ length: 8 }, (_, index) => windowOf(index, Number.NaN))
  expect(driftVerdict(profile, take(silent)).lead).toMatchObject({ statistic: 'missing' })
  const stuck = Array.from({ length: 8 }, (_, index) => windowOf(index, 3))
  expect(driftVerdict(profile, take(stuck))).toMatchObject({
    state: 'alarm',
    lead: { feature: 'score', statistic: 'repeat' },
  })
})

test('windows delivered twice or too late change nothing, and lost ones only take their evidence along', () => {
  const list = windows(12, { score: 40 })
  const once = take(list)
  expect(take(list.flatMap((window) => [window, window]))).toEqual(once)
  expect(takeWindow(profile, once, list[3]!)).toMatchObject({ taken: false, because: 'already-seen' })
  const gap = take(list.filter(({ index }) => index !== 5))
  expect(gap).toMatchObject({ lastIndex: 11, windows: 11 })
})

test('counts that do not fit the profile are refused whole', () => {
  const [window] = windows(1)
  const { score, increment } = window!.features
  const start = startVerdict(profile)
  const refuse = (features: DriftWindow['features']) => takeWindow(profile, start, { index: 0, features })
  expect(refuse({ score: score! })).toMatchObject({ because: 'malformed', detail: 'increment: absent' })
  expect(refuse({ score: { ...score!, missing: 1 }, increment: increment! })).toMatchObject({
    because: 'malformed',
    detail: 'score: 65 slots, expected 64',
  })
  expect(refuse({ score: { ...score!, counts: [64] }, increment: increment! })).toMatchObject({
    taken: false,
  })
  const negative = [-1, 65, ...Array(score!.counts.length - 2).fill(0)]
  expect(refuse({ score: { ...score!, counts: negative }, increment: increment! })).toMatchObject({
    taken: false,
  })
})

test('without a certificate no chance of a false alarm is claimed', () => {
  const uncertified = structuredClone(profile)
  uncertified.features[1]!.certification.certified = false
  expect(driftVerdict(uncertified, startVerdict(uncertified)).falseAlarmAtMost).toBeNull()
})

test('a state that went through JSON comes to the same verdict', () => {
  const list = windows(20, { increment: 60 })
  const saved = JSON.parse(JSON.stringify(take(list.slice(0, 9))))
  expect(take(list.slice(9), saved)).toEqual(take(list))
})

function windowOf(index: number, score: number): DriftWindow {
  const counters = new WindowCounters(profile, index)
  const increment = bellIntegers(next, 64)
  return increment.flatMap((value) => counters.observe([score, value]) ?? [])[0]!
}
