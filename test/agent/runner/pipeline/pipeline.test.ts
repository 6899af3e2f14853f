import { decisiveValue } from '@godwit/agent/runner/pipeline/decision'
import {
  Episodes,
  episodeEvent,
  gapReadingsMax,
  partReadingsMin,
} from '@godwit/agent/runner/pipeline/episodes'
import { fieldsUsedBy, Monitors } from '@godwit/agent/runner/pipeline/monitors'
import { Ring } from '@godwit/agent/runner/pipeline/ring'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { describe, expect, test } from 'vitest'

describe('the ring', () => {
  test('holds the last readings, oldest first, in the order of the fields', () => {
    const ring = new Ring(['a', 'b'], 2)
    for (const n of [1, 2, 3]) ring.push(n, { b: -n, a: n, c: 99 })
    expect([...ring.data]).toEqual([2, -2, 3, -3])
    expect(ring.snapshot()).toEqual([
      { at: 2, values: [2, -2] },
      { at: 3, values: [3, -3] },
    ])
  })

  test('an incomplete reading leaves it as it was: a model never sees a gap filled in', () => {
    const ring = new Ring(['a', 'b'], 1)
    ring.push(1, { a: 1, b: 2 })
    for (const values of [{ a: 5 }, { a: 5, b: Number.NaN }, { a: Number.POSITIVE_INFINITY, b: 1 }]) {
      expect(ring.push(2, values as Record<string, number>)).toBe(false)
    }
    expect([...ring.data]).toEqual([1, 2])
  })

  test('takes over from a release with more fields and a longer window, and not from one that lacks a field', () => {
    const longer = new Ring(['a', 'b'], 3)
    for (const n of [1, 2, 3]) longer.push(n, { a: n, b: -n })
    const shorter = new Ring(['b'], 2)
    shorter.restore(longer.fields, longer.snapshot())
    expect([shorter.isFull, ...shorter.data]).toEqual([true, -2, -3])
    const stranger = new Ring(['c'], 2)
    stranger.restore(longer.fields, longer.snapshot())
    expect(stranger.isFull).toBe(false)
  })
})

describe('monitors', () => {
  const pipeline: Pipeline = {
    format: 'godwit-pipeline/1',
    fields: ['t'],
    window: 1,
    input: 'x',
    outputs: ['score'],
    monitor: [
      { name: 'unused', of: { field: 'z' } },
      { name: 'score', of: { output: 'score' }, transform: 'log' },
      { name: 'humidity', of: { field: 'h' } },
      { name: 'step', of: { incrementOf: 't' } },
    ],
  }
  const answer = { score: { type: 'float32', dims: [1], data: Float32Array.of(1) } }

  test('follow the order of the profile', () => {
    const monitors = new Monitors(pipeline, ['step', 'humidity', 'score'])
    monitors.remember({ t: 2 })
    expect([...monitors.read({ t: 5, h: 40 }, answer)]).toEqual([3, 40, 0])
    expect(fieldsUsedBy(pipeline)).toEqual(['t', 'z', 'h'])
  })

  test('have no increment after a gap, and no score without an answer', () => {
    const monitors = new Monitors(pipeline, ['step', 'score'])
    expect([...monitors.read({ t: 5 }, undefined)]).toEqual([Number.NaN, Number.NaN])
    monitors.remember({})
    expect(monitors.snapshot()).toEqual({ t: null })
    expect([...monitors.read({ t: 6 }, answer)]).toEqual([Number.NaN, 0])
  })
})

test('a decision over several elements is made by the largest, and by none if one is no number', () => {
  const value = (...data: number[]) => decisiveValue({ type: 'float32', dims: [data.length], data })
  expect([value(3), value(1, 4, 2), value(1, Number.NaN), value()]).toEqual([3, 4, Number.NaN, Number.NaN])
})

describe('episodes', () => {
  const reading = (index: number) => ({ at: 1_000 + index, position: `0:${index}`, values: {} })

  test(`anomalies no more than ${gapReadingsMax} readings apart are one`, () => {
    const episodes = new Episodes()
    expect(episodes.anomaly(reading(0), 9)).toBeUndefined()
    for (let i = 0; i < gapReadingsMax; i++) expect(episodes.quiet()).toBeUndefined()
    episodes.anomaly(reading(4), 12)
    for (let i = 0; i < gapReadingsMax; i++) expect(episodes.quiet()).toBeUndefined()
    const ended = episodes.quiet()!
    const about = { slot: 'main', releaseDigest: 'c'.repeat(64), threshold: 8 }
    expect(episodeEvent(ended, about)).toMatchObject({
      kind: 'anomaly',
      key: 'cccccccccccc:0:0',
      at: 1_000,
      detail: {
        count: 2,
        peak: 12,
        threshold: 8,
        firstPosition: '0:0',
        lastPosition: '0:4',
        positions: '0:0,0:4',
      },
    })
    expect(episodes.quiet()).toBeUndefined()
  })

  test('one that will not end is reported in parts, each twice as long as the one before', () => {
    const episodes = new Episodes()
    const parts = []
    for (let i = 0; i < 7 * partReadingsMin; i++) parts.push(episodes.anomaly(reading(i), i))
    const told = parts.filter((part) => part !== undefined)
    expect(told.map(({ count, part }) => [count, part])).toEqual([
      [partReadingsMin, 0],
      [2 * partReadingsMin, 1],
      [4 * partReadingsMin, 2],
    ])
    expect(Math.max(...told.map(({ positions }) => positions.length))).toBeLessThanOrEqual(1_000)
    // The part that has just begun holds no anomaly: nothing to tell.
    for (let i = 0; i <= gapReadingsMax; i++) expect(episodes.quiet()).toBeUndefined()
  })
})
