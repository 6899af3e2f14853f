import { BlockEcho } from '@godwit/hub/mqtt/block-echo'
import { blockPostDefaults } from '@godwit/hub/mqtt/block-post'
import { describe, expect, test } from 'vitest'

const block = 'ab'.repeat(32)

describe('what was published lately', () => {
  test('is under way to whom it was written, until the connection ends or half a minute is over', () => {
    const echo = new BlockEcho()
    echo.published(block, 0)
    echo.forwarded('a', block)
    expect(echo.isUnderWay('a', block, 10)).toBe(true)
    expect(echo.isUnderWay('b', block, 10)).toBe(false)
    expect(echo.isUnderWay('a', block, 30_000)).toBe(false)
    echo.gone('a')
    expect(echo.isUnderWay('a', block, 10)).toBe(false)
  })

  test('waits longer for more to ask with every copy, two seconds at most', () => {
    const echo = new BlockEcho()
    expect(echo.dueMs(block, blockPostDefaults, 0)).toBe(0)
    const waits = Array.from({ length: 9 }, () => {
      echo.published(block, 0)
      return echo.dueMs(block, blockPostDefaults, 0)
    })
    expect(waits).toEqual([40, 80, 160, 320, 640, 1_280, 2_000, 2_000, 2_000])
    expect(echo.dueMs(block, blockPostDefaults, 30_000)).toBe(30_000)
  })

  test('is forgotten when it is old, or when there is too much of it', () => {
    const echo = new BlockEcho()
    for (let i = 0; i < 600; i++) {
      const digest = i.toString(16).padStart(64, '0')
      echo.published(digest, i)
      for (let device = 0; device < 1_000; device++) echo.forwarded(`d${device}`, digest)
    }
    expect(echo.isUnderWay('d1', '0'.repeat(64), 600)).toBe(false)
    expect(echo.isUnderWay('d1', (599).toString(16).padStart(64, '0'), 600)).toBe(true)
  })
})
