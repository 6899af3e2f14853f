import { Resampler } from '@godwit/agent/runner/pipeline/resampler'
import type { Reading } from '@godwit/agent/runner/sources/source'
import type { Resample } from '@godwit/protocol/release/pipeline'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const interval = 1_000

function run(
  spec: Partial<Resample>,
  inputs: readonly Reading[],
  { fields = ['t'], window = 4 } = {},
): Reading[] {
  return drained(new Resampler({ intervalMs: interval, how: 'last', ...spec }, fields, window), inputs)
}

function drained(resampler: Resampler, inputs: readonly Reading[]): Reading[] {
  const out: Reading[] = []
  for (const input of inputs) {
    const odd = resampler.take(input)
    if (odd) out.push(odd)
    for (let point = resampler.next(); point; point = resampler.next()) out.push(point)
  }
  return out
}

const at = (time: number, t: number): Reading => ({ at: time, values: { t } })
const points = (readings: readonly Reading[]) => readings.map(({ at: time, values }) => [time, values['t']])

describe('a grid point', () => {
  test('holds the last number at or before it, and is settled by the first input later than it', () => {
    const inputs = [at(100, 1), at(900, 2), at(1_000, 3), at(1_001, 4), at(2_500, 5)]
    expect(points(run({ how: 'last' }, inputs.slice(0, 3)))).toEqual([])
    expect(points(run({ how: 'last' }, inputs))).toEqual([
      [1_000, 3],
      [2_000, 4],
    ])
  })

  test('is the mean over the interval that ends with it', () => {
    const inputs = [at(100, 1), at(900, 3), at(1_500, 10), at(2_000, 20), at(2_001, 0)]
    expect(points(run({ how: 'mean' }, inputs))).toEqual([
      [1_000, 2],
      [2_000, 15],
    ])
  })

  test('lies on the line between the inputs around it', () => {
    const inputs = [at(500, 0), at(1_500, 10), at(2_000, 20), at(2_500, 0)]
    expect(points(run({ how: 'linear' }, inputs))).toEqual([
      [1_000, 5],
      [2_000, 20],
    ])
  })

  test('bridges short silences: the last number, the last mean, the line', () => {
    const inputs = [at(900, 1), at(1_000, 3), at(3_001, 9)]
    const gapMsMax = 3_000
    expect(points(run({ how: 'last', gapMsMax }, inputs))).toEqual([
      [1_000, 3],
      [2_000, 3],
      [3_000, 3],
    ])
    expect(points(run({ how: 'mean', gapMsMax }, inputs))).toEqual([
      [1_000, 2],
      [2_000, 2],
      [3_000, 2],
    ])
    expect(points(run({ how: 'linear', gapMsMax }, inputs))[2]![1]).toBeCloseTo(3 + (6 * 2_000) / 2_001)
  })

  test('takes fields from different inputs; one that has gone silent is missing, not made up', () => {
    const inputs: Reading[] = [
      { at: 200, values: { a: 1 } },
      { at: 400, values: { b: 2 } },
      { at: 1_200, values: { a: 3 } },
      { at: 2_200, values: { a: 4 } },
      { at: 3_200, values: { a: 5 } },
    ]
    const readings = run({ how: 'last', gapMsMax: 1_000 }, inputs, { fields: ['a', 'b'] })
    expect(readings.map(({ values }) => values)).toEqual([
      { a: 1, b: 2 },
      { a: 3, b: Number.NaN },
      { a: 4, b: Number.NaN },
    ])
  })
})

describe('a gap', () => {
  const inputs = [at(500, 1), at(1_500, 2), at(60_500, 3), at(61_500, 4)]

  test('ends in a new beginning', () => {
    const readings = run({ gapMsMax: 2_000 }, inputs)
    expect(points(readings)).toEqual([
      [1_000, 1],
      [2_000, 2],
      [3_000, 2],
      [61_000, 3],
    ])
    expect(readings.map(({ isFirst }) => isFirst ?? false)).toEqual([false, false, false, true])
  })

  test('counts as missing readings where the pipeline wants that, as many as the window holds', () => {
    const readings = run({ gapMsMax: 2_000, gap: 'missing' }, inputs)
    const numbers = readings.map(({ values }) => values['t'])
    const missing = [Number.NaN, Number.NaN, Number.NaN, Number.NaN]
    expect(numbers).toEqual([1, 2, 2, ...missing, 3])
    expect(readings.at(-1)!.isFirst).toBe(true)
  })
})

test('an input that is too late is an error; one from long before begins anew, for the clock was set back', () => {
  const late = run({ gapMsMax: 5_000 }, [at(10_500, 1), at(12_500, 2), at(10_600, 3), at(13_500, 4)])
  expect(late.map(({ flaw }) => flaw !== undefined)).toEqual([false, false, true, false])
  const setBack = run({ gapMsMax: 5_000 }, [at(100_500, 1), at(101_500, 2), at(500, 3), at(1_500, 4)])
  expect(setBack.map(({ at: time, isFirst }) => [time, isFirst ?? false])).toEqual([
    [101_000, false],
    [1_000, true],
  ])
})

test('an input without a number, or that could not be read, goes by as it is', () => {
  const readings = run({}, [
    at(500, 1),
    at(700, Number.NaN),
    { at: 800, values: {}, flaw: 'no JSON' },
    at(1_500, 2),
  ])
  expect(readings.map(({ flaw }) => flaw)).toEqual(['no field has a finite number', 'no JSON', undefined])
  expect(readings.at(-1)).toMatchObject({ at: 1_000, values: { t: 1 } })
})

const hows = fc.constantFrom<Resample['how']>('last', 'mean', 'linear')
const series = fc
  .array(fc.record({ gap: fc.integer({ min: 0, max: 6_000 }), t: fc.integer({ min: -50, max: 50 }) }), {
    maxLength: 40,
  })
  .map((steps) => {
    let time = 1_700_000_000_000
    return steps.map(({ gap, t }) => {
      time += gap
      return at(time, t)
    })
  })
const specs = fc.record({
  how: hows,
  gapMsMax: fc.integer({ min: 1, max: 10_000 }),
  gap: fc.constantFrom<'restart' | 'missing'>('restart', 'missing'),
})

describe('whatever comes, in order of time', () => {
  test('points are multiples of the interval, rise, and stay within what the inputs said', () => {
    fc.assert(
      fc.property(specs, series, (spec, inputs) => {
        const readings = run(spec, inputs)
        const numbers = inputs.map(({ values }) => values['t']!)
        const least = Math.min(...numbers)
        const most = Math.max(...numbers)
        readings.forEach((reading, i) => {
          expect(reading.at % interval).toBe(0)
          if (i > 0) expect(reading.at).toBeGreaterThan(readings[i - 1]!.at)
          const value = reading.values['t']!
          if (Number.isNaN(value)) return
          expect(value).toBeGreaterThanOrEqual(least - 1e-9)
          expect(value).toBeLessThanOrEqual(most + 1e-9)
        })
      }),
    )
  })

  test('points without a gap between them are one interval apart', () => {
    fc.assert(
      fc.property(specs, series, (spec, inputs) => {
        const readings = run(spec, inputs)
        readings.forEach((reading, i) => {
          if (i > 0 && !reading.isFirst) expect(reading.at - readings[i - 1]!.at).toBe(interval)
        })
      }),
    )
  })

  test('a run that is cut anywhere and goes on from its snapshot gives the same points', () => {
    fc.assert(
      fc.property(specs, series, fc.nat(40), (spec, inputs, cut) => {
        const terms: Resample = { intervalMs: interval, ...spec }
        const first = new Resampler(terms, ['t'], 4)
        const before = drained(first, inputs.slice(0, cut))
        const second = new Resampler(terms, ['t'], 4)
        const kept = JSON.parse(JSON.stringify(first.snapshot()))
        expect(second.restore(kept, first.waiting)).toBe(true)
        const after = drained(second, inputs.slice(cut))
        expect([...before, ...after]).toEqual(run(spec, inputs))
      }),
    )
  })

  test('inputs on the grid come out as they went in', () => {
    const onGrid = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 20 })
    fc.assert(
      fc.property(hows, onGrid, (how, numbers) => {
        const inputs = numbers.map((t, i) => at(5_000 + i * interval, t))
        expect(points(run({ how }, inputs))).toEqual(points(inputs.slice(0, -1)))
      }),
    )
  })
})
