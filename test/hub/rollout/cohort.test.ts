import { bucketOf, orderOf, waveCounts } from '@godwit/hub/rollout/cohort'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const fleet = (count: number, stratum = (_: number) => '') =>
  Array.from({ length: count }, (_, i) => ({ id: `d${i}`, stratum: stratum(i) }))

describe('the order of devices in a rollout', () => {
  test('is the same when asked again, whatever order the devices come in', () => {
    const members = fleet(50)
    expect(orderOf('r1', [...members].reverse())).toEqual(orderOf('r1', members))
  })

  test('is another one in another rollout, so that the canary is not always the same device', () => {
    const canaries = new Set(Array.from({ length: 20 }, (_, i) => orderOf(`r${i}`, fleet(50))[0]))
    expect(canaries.size).toBeGreaterThan(5)
  })

  test('holds every device once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 5 }), (count, strata) => {
        const members = fleet(count, (i) => `class-${i % strata}`)
        expect([...orderOf('r', members)].sort()).toEqual(members.map(({ id }) => id).sort())
      }),
    )
  })

  test('puts one device of every hardware class first, however rare the class', () => {
    const members = fleet(100, (i) => (i === 99 ? 'jetson' : i % 10 === 0 ? 'pi4' : 'pi5'))
    const classOf = new Map(members.map(({ id, stratum }) => [id, stratum]))
    const first = orderOf('r', members).slice(0, 3)
    expect(new Set(first.map((id) => classOf.get(id)))).toEqual(new Set(['jetson', 'pi4', 'pi5']))
  })

  test('keeps the classes in step after that', () => {
    const members = fleet(100, (i) => (i < 50 ? 'a' : 'b'))
    const classOf = new Map(members.map(({ id, stratum }) => [id, stratum]))
    const half = orderOf('r', members).slice(0, 50)
    expect(half.filter((id) => classOf.get(id) === 'a')).toHaveLength(25)
  })

  test('a bucket is an exact integer', () => {
    expect(bucketOf('r', 'd')).toBeLessThan(2 ** 48)
    expect(Number.isSafeInteger(bucketOf('r', 'd'))).toBe(true)
  })
})

describe('the sizes of waves', () => {
  test('a count is that many more, a percentage is reached together with the waves before it, rest is everybody else', () => {
    expect(waveCounts([{ count: 1 }, { percent: 10 }, { percent: 50 }, { rest: true }], 100)).toEqual([
      1, 9, 40, 50,
    ])
  })

  test('a percentage is at least one device, while there is one', () => {
    expect(waveCounts([{ count: 1 }, { percent: 10 }, { rest: true }], 4)).toEqual([1, 1, 2])
    expect(waveCounts([{ count: 1 }, { percent: 10 }, { rest: true }], 1)).toEqual([1, 0, 0])
  })

  test('never hand out more devices than there are', () => {
    expect(waveCounts([{ count: 5 }, { count: 5 }], 7)).toEqual([5, 2])
  })
})
