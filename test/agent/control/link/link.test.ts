import { backoffMs } from '@godwit/agent/control/link/backoff'
import { RefusedPublishes } from '@godwit/agent/control/link/refused-publishes'
import { describe, expect, test } from 'vitest'

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
  test('is left out after four times in a row, for an hour', () => {
    const refused = new RefusedPublishes()
    for (let i = 0; i < 3; i++) expect(refused.closedWith(['a'], 0)).toEqual([])
    expect(refused.closedWith(['a'], 0)).toEqual(['a'])
    expect(refused.isQuarantined('a', 3_599_999)).toBe(true)
    expect(refused.isQuarantined('a', 3_600_000)).toBe(false)
  })

  test('is not suspected once a connection closed without it', () => {
    const refused = new RefusedPublishes()
    for (let i = 0; i < 3; i++) refused.closedWith(['a'], 0)
    refused.closedWith(['b'], 0)
    expect(refused.closedWith(['a'], 0)).toEqual([])
  })
})
