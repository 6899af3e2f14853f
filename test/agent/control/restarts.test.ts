import { RunnerFailure } from '@godwit/agent/control/cage'
import { Restarts } from '@godwit/agent/control/restarts'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const crash = new RunnerFailure('probation_crash', 'gone')

test('what served once and has not started since is not taken for stable', () => {
  let unusable = 0
  const restarts = new Restarts({ random: () => 1, again: () => {}, onUnusable: () => void unusable++ })
  restarts.serves()
  restarts.failed(crash)
  restarts.failed(crash)
  vi.advanceTimersByTime(10 * 60_000)
  restarts.failed(crash)
  expect(unusable).toBe(1)
  restarts.stop()
})

test('what has served for a while has its earlier crashes forgotten', () => {
  let unusable = 0
  const restarts = new Restarts({ random: () => 1, again: () => {}, onUnusable: () => void unusable++ })
  restarts.failed(crash)
  restarts.failed(crash)
  restarts.serves()
  vi.advanceTimersByTime(10 * 60_000)
  restarts.failed(crash)
  expect(unusable).toBe(0)
  restarts.stop()
})
