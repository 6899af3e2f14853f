import { RateFloor } from '@godwit/agent/control/download/rate-floor'
import { expect, test } from 'vitest'

const minuteMs = 60_000
const floor = () => new RateFloor(512, minuteMs, 0)

/** A mirror that never fails and never finishes. */
test('a source that drips just enough to seem alive is left after a minute', () => {
  const watched = floor()
  let left: number | undefined
  for (let second = 1; second <= 120 && left === undefined; second++) {
    watched.received(100)
    if (watched.isTooSlow(second * 1_000)) left = second
  }
  expect(left).toBe(60)
})

test('a burst at first does not buy a source a slow hour', () => {
  const watched = floor()
  watched.received(10_000_000)
  expect(watched.isTooSlow(minuteMs)).toBe(false)
  expect(watched.isTooSlow(2 * minuteMs)).toBe(true)
})

test('a slow link that still moves is no attack, and our own pauses are not held against it', () => {
  const watched = floor()
  watched.received(512 * 60)
  expect(watched.isTooSlow(minuteMs)).toBe(false)
  watched.received(512 * 30)
  watched.paused(30_000)
  expect(watched.isTooSlow(2 * minuteMs + 30_000)).toBe(true)
  watched.received(512 * 60)
  watched.paused(minuteMs)
  expect(watched.isTooSlow(4 * minuteMs + 30_000)).toBe(false)
})
