import { backoffMs } from '@godwit/agent/control/link/backoff'
import { RefusedPublishes } from '@godwit/agent/control/link/refused-publishes'
import { beforeEach, describe, expect, test } from 'vitest'

const limits = { backoffMsMin: 1_000, backoffMsMax: 300_000 }

describe('reconnecting', () => {
  test('waits any time up to a ceiling that doubles and ends at five minutes', () => {
    expect([1, 2, 3, 9, 10, 1_000].map((failures) => backoffMs(failures, limits, 0.999_999))).toEqual([
      999, 1_999, 3_999, 255_999, 299_999, 299_999,
    ])
    expect(backoffMs(9, limits, 0)).toBe(0)
  })

  test('spreads out over what the hub asks for', () => {
    expect(backoffMs(1, limits, 0.5, 60_000)).toBe(30_000)
  })
})

describe('a publish that makes the broker hang up', () => {
  const limits = { closesMax: 4, rightAfterMs: 3_000, trialMs: 10_000, quarantineMs: 3_600_000 }
  let refused: RefusedPublishes
  let nowMs: number
  beforeEach(() => {
    refused = new RefusedPublishes(limits)
    nowMs = 0
  })

  /** One connection: others get through, then this key is sent, and the link closes so long afterwards. */
  function connection({ key = 'a', livedMs = 0, closesAfterMs = 50, others = 1 } = {}): string[] {
    refused.opened(nowMs)
    for (let i = 0; i < others; i++) refused.answered('b')
    nowMs += livedMs
    if (!refused.isWithheld(key, nowMs)) refused.sent(key, nowMs)
    nowMs += closesAfterMs
    return refused.closed(nowMs)
  }

  test('is left out for an hour, once a connection lived without it and died of it', () => {
    for (let i = 0; i < 4; i++) expect(connection()).toEqual([])
    expect(refused.opened(nowMs)).toBe(limits.trialMs)
    expect([refused.isWithheld('a', nowMs), refused.isWithheld('b', nowMs)]).toEqual([true, false])
    expect(connection({ livedMs: limits.trialMs })).toEqual(['a'])
    const quarantinedMs = nowMs
    expect(refused.isWithheld('a', quarantinedMs + 3_599_999)).toBe(true)
    expect(refused.isWithheld('a', quarantinedMs + 3_600_000)).toBe(false)
  })

  test('is not suspected on a link that closes without it too', () => {
    for (let round = 0; round < 50; round++) expect(connection({ closesAfterMs: 2_000 })).toEqual([])
    expect(refused.isWithheld('a', nowMs + 100_000)).toBe(false)
  })

  test('is acquitted when a connection that lived long enough takes it', () => {
    for (let i = 0; i < 4; i++) connection()
    refused.opened(nowMs)
    refused.sent('a', nowMs + limits.trialMs)
    refused.answered('a')
    expect(refused.closed(nowMs + limits.trialMs)).toEqual([])
    for (let i = 0; i < 3; i++) connection()
    refused.opened(nowMs)
    expect(refused.isWithheld('a', nowMs)).toBe(false)
  })

  test.each([
    ['nothing else gets through', { others: 0 }],
    ['the close comes long after it', { closesAfterMs: 45_000 }],
  ])('is not suspected where %s', (_name, circumstances) => {
    for (let i = 0; i < 20; i++) expect(connection(circumstances)).toEqual([])
    expect(refused.opened(nowMs)).toBeUndefined()
  })

  test('is not suspected once a connection closed right after another', () => {
    for (let i = 0; i < 3; i++) connection()
    connection({ key: 'c' })
    connection()
    expect(refused.opened(nowMs)).toBeUndefined()
  })
})
