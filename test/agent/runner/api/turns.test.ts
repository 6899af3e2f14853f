import { Turns } from '@godwit/agent/runner/api/turns'
import { expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'

const limits = { deadlineMs: 1_000, queueMax: 4 }
const settle = () => new Promise((resolve) => setImmediate(resolve))

test('the source and requests alternate, however many requests wait', async () => {
  const turns = new Turns(new ManualClock())
  const order: string[] = []
  expect(turns.takeIfFree()).toBe(true)
  for (const name of ['a', 'b', 'c']) void turns.takeForRequest(limits).then(() => order.push(name))
  for (let i = 0; i < 3; i++) {
    void turns.take().then(() => order.push('source'))
    turns.done()
    await settle()
    turns.done()
    await settle()
  }
  expect(order).toEqual(['a', 'source', 'b', 'source', 'c', 'source'])
})

test('nobody waits for a turn that is free', async () => {
  const turns = new Turns(new ManualClock())
  expect(turns.takeIfFree()).toBe(true)
  expect(turns.takeIfFree()).toBe(false)
  turns.done()
  await turns.takeForRequest(limits)
  turns.done()
  expect(turns.takeIfFree()).toBe(true)
})

test('more requests than may wait are turned away at once, and one that waits too long later', async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock)
  turns.takeIfFree()
  const waiting = Array.from({ length: 4 }, () => turns.takeForRequest(limits))
  await expect(turns.takeForRequest(limits)).rejects.toMatchObject({ because: 'full' })
  clock.advance(1_000)
  const results = await Promise.allSettled(waiting)
  expect(results.every((result) => result.status === 'rejected' && result.reason.because === 'late')).toBe(
    true,
  )
  // Who gave up holds nobody else up.
  turns.done()
  expect(turns.takeIfFree()).toBe(true)
})
