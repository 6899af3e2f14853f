import { countIn, normalised, type Range, reach, without } from '@godwit/hub/telemetry/ranges'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const anyRanges = fc.array(
  fc
    .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 6 }))
    .map(([a, n]): Range => [a, a + n]),
  { maxLength: 8 },
)
const numbersOf = (ranges: readonly Range[]) =>
  new Set(ranges.flatMap(([a, b]) => Array.from({ length: Math.max(0, b - a + 1) }, (_, i) => a + i)))

describe('ranges of sequence numbers', () => {
  test('behave as the sets of numbers that they stand for', () => {
    fc.assert(
      fc.property(anyRanges, anyRanges, (a, b) => {
        const [left, right] = [numbersOf(a), numbersOf(b)]
        expect(numbersOf(normalised([...a, ...b]))).toEqual(
          new Set([...left, ...right].sort((x, y) => x - y)),
        )
        expect(numbersOf(without(a, b))).toEqual(
          new Set([...left].filter((n) => !right.has(n)).sort((x, y) => x - y)),
        )
        expect(countIn(normalised(a))).toBe(left.size)
      }),
    )
  })

  test('reach as far as they go on without a hole', () => {
    expect(
      reach(0, [
        [1, 3],
        [5, 6],
      ]),
    ).toBe(3)
    expect(
      reach(4, [
        [1, 3],
        [5, 6],
      ]),
    ).toBe(6)
    expect(reach(0, [[2, 9]])).toBe(0)
    expect(reach(5, [])).toBe(5)
  })
})
