import { counterDeltaJoules, stretchBetween, trapezoidJoules } from '@godwit/agent/energy/integrate'
import { describe, expect, test } from 'vitest'
import { vectors } from './vectors.ts'

const quick = { elapsedMs: 1, wattsMax: 1000, readFailedBetween: false }
const counter = (joules: number, rangeJoules = 100) => ({ joules, rangeJoules })
const counters = (atMs: number, joules: number, rangeJoules = 100) => ({
  atMs,
  reading: { kind: 'counters' as const, counters: [counter(joules, rangeJoules)] },
})
const watts = (atMs: number, value: number) => ({ atMs, reading: { kind: 'instant' as const, watts: value } })

describe('power', () => {
  test('100 mW above idle for 50 ms is 5 mJ', () => {
    const samples = [
      { atMs: 0, watts: 0.4 },
      { atMs: 20, watts: 0.4 },
      { atMs: 50, watts: 0.4 },
    ]
    expect(trapezoidJoules(samples, 0.3)).toBeCloseTo(0.005, 12)
  })

  test('a ramp from 0 to 10 W over two seconds is 10 J', () => {
    expect(
      trapezoidJoules(
        [watts(0, 0), watts(2000, 10)].map(({ atMs, reading }) => ({ atMs, watts: reading.watts })),
      ),
    ).toBe(10)
  })

  test('a meter noisier than the load may say less than idle, and is not corrected', () => {
    expect(
      trapezoidJoules(
        [
          { atMs: 0, watts: 1 },
          { atMs: 1000, watts: 1 },
        ],
        1.5,
      ),
    ).toBe(-0.5)
  })

  test('a failed read between two power readings is a gap with its duration', () => {
    const stretch = stretchBetween(watts(0, 5), watts(2000, 5), { readFailedBetween: true, wattsMax: 1000 })
    expect(stretch).toEqual({ durationMs: 2000, joules: undefined })
  })

  test('two power readings half a minute apart say nothing about the time between', () => {
    const stretch = stretchBetween(watts(0, 5), watts(30_000, 5), {
      readFailedBetween: false,
      wattsMax: 1000,
    })
    expect(stretch).toEqual({ durationMs: 30_000, joules: undefined })
  })

  test('a clock that stands still or runs backwards gives no energy', () => {
    for (const atMs of [1000, 400]) {
      const stretch = stretchBetween(watts(1000, 5), watts(atMs, 5), {
        readFailedBetween: false,
        wattsMax: 1000,
      })
      expect(stretch).toEqual({ durationMs: 0, joules: undefined })
    }
  })
})

describe('counters', () => {
  const kepler = vectors?.energy.filter((entry) => entry.name === 'counter delta with wrap (J)') ?? []

  test.skipIf(kepler.length === 0)(
    'agree with the public wrap vectors, except that we call a reset a gap',
    () => {
      expect(kepler.length).toBe(8)
      for (const { input, expected } of kepler) {
        const { current, previous, max } = input as Record<'current' | 'previous' | 'max', number>
        const delta = counterDeltaJoules(counter(previous, max), counter(current, max), quick)
        expect(delta, JSON.stringify(input)).toBe(max === 0 && current < previous ? undefined : expected)
      }
    },
  )

  test('wrap once', () => {
    expect(counterDeltaJoules(counter(90), counter(10), quick)).toBe(20)
  })

  test('that ran backwards after a failed read are a gap, not a wrap', () => {
    expect(
      counterDeltaJoules(counter(90), counter(10), { ...quick, readFailedBetween: true }),
    ).toBeUndefined()
  })

  test('that could have turned round unseen are a gap, whichever way they moved', () => {
    const slow = { ...quick, elapsedMs: 100 }
    expect(counterDeltaJoules(counter(90), counter(10), slow)).toBeUndefined()
    expect(counterDeltaJoules(counter(10), counter(90), slow)).toBeUndefined()
  })

  test('bridge a failed read when they went forwards: the counter counted on', () => {
    const stretch = stretchBetween(counters(0, 10, 1e6), counters(2000, 30, 1e6), {
      readFailedBetween: true,
      wattsMax: 1000,
    })
    expect(stretch).toEqual({ durationMs: 2000, joules: 20 })
  })

  test('of unknown range do not bridge a failed read: nothing vouches against a reset', () => {
    expect(
      counterDeltaJoules(counter(10, 0), counter(30, 0), { ...quick, readFailedBetween: true }),
    ).toBeUndefined()
    expect(counterDeltaJoules(counter(10, 0), counter(30, 0), quick)).toBe(20)
  })

  test('with one domain in a gap are a gap altogether', () => {
    const reading = (package0: number, dram: number) => ({
      kind: 'counters' as const,
      counters: [counter(package0, 0), counter(dram, 0)],
    })
    const stretch = stretchBetween(
      { atMs: 0, reading: reading(10, 50) },
      { atMs: 1000, reading: reading(20, 5) },
      { readFailedBetween: false, wattsMax: 1000 },
    )
    expect(stretch).toEqual({ durationMs: 1000, joules: undefined })
  })
})
