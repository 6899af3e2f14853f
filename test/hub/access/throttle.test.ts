import { Throttle } from '@godwit/hub/access/throttle'
import { expect, test } from 'vitest'

test('a few slips cost nothing, then every failure doubles the wait, up to a quarter of an hour', () => {
  const throttle = new Throttle()
  let now = 0
  const waits: number[] = []
  for (let i = 0; i < 20; i++) {
    throttle.failed('ana', now)
    waits.push(throttle.waitMs('ana', now))
    now += throttle.waitMs('ana', now)
  }
  expect(waits.slice(0, 8)).toEqual([0, 0, 0, 0, 0, 1_000, 2_000, 4_000])
  expect(waits.at(-1)).toBe(900_000)
})

test('one name does not make another wait', () => {
  const throttle = new Throttle()
  for (let i = 0; i < 10; i++) throttle.failed('ana', 0)
  expect(throttle.waitMs('ben', 0)).toBe(0)
})

test('a success forgives, and so does an hour', () => {
  const throttle = new Throttle()
  for (let i = 0; i < 10; i++) throttle.failed('ana', 0)
  throttle.succeeded('ana')
  expect(throttle.waitMs('ana', 0)).toBe(0)
  for (let i = 0; i < 10; i++) throttle.failed('ben', 0)
  throttle.failed('ben', 3_600_000)
  expect(throttle.waitMs('ben', 3_600_000)).toBe(0)
})

test('what turns out to be right is taken back', () => {
  const throttle = new Throttle()
  for (let i = 0; i < 20; i++) {
    throttle.failed('office', 0)
    throttle.forgive('office')
  }
  for (let i = 0; i < 5; i++) throttle.failed('office', 0)
  expect(throttle.waitMs('office', 0)).toBe(0)
})

test('invented names do not fill the memory', () => {
  const throttle = new Throttle()
  for (let i = 0; i < 20; i++) throttle.failed('ana', 0)
  for (let i = 0; i < 10_000; i++) throttle.failed(`nobody-${i}`, 1)
  expect(throttle.waitMs('ana', 1)).toBe(0)
  expect(throttle.waitMs('nobody-9999', 1)).toBe(0)
})
