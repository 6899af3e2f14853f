import { Silence } from '@godwit/agent/control/silence'
import { expect, test } from 'vitest'

test('grows while nothing is heard, and ends with a word', () => {
  const silence = new Silence(2_000, 0)
  expect([2_000, 4_000, 6_500].map((at) => silence.lookedAt(at))).toEqual([2_000, 4_000, 6_500])
  silence.broken()
  expect(silence.lookedAt(8_500)).toBe(2_000)
})

test('an hour for which the listener itself was stopped is no silence of the other', () => {
  const silence = new Silence(2_000, 0)
  silence.lookedAt(2_000)
  expect(silence.lookedAt(3_602_000)).toBe(6_000)
  expect(silence.lookedAt(3_604_000)).toBe(8_000)
})
