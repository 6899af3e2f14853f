import { Inbox } from '@godwit/agent/runner/sources/inbox'
import type { Reading } from '@godwit/agent/runner/sources/source'
import { expect, test } from 'vitest'

const never = new AbortController().signal
const reading = (t: number): Reading => ({ at: t, values: { t } })
const inbox = (sizeMax: number, cursor?: unknown) => new Inbox(sizeMax, cursor, async () => {})

test('gives what was put in, in order, and waits for more', async () => {
  const box = inbox(10)
  const waiting = box.next(never)
  box.put(reading(1))
  box.put(reading(2))
  expect((await waiting)?.reading.at).toBe(1)
  expect((await box.next(never))?.reading.at).toBe(2)
})

test('when it is full the oldest gives way, and is counted once', async () => {
  const box = inbox(2)
  for (let t = 1; t <= 5; t++) box.put(reading(t))
  expect([box.dropped(), box.dropped()]).toEqual([3, 0])
  expect((await box.next(never))?.reading.at).toBe(4)
})

test('what waits is part of the position, and a successor begins with it', async () => {
  const box = inbox(10)
  for (let t = 1; t <= 3; t++) box.put(reading(t))
  await box.next(never)
  const next = inbox(10, JSON.parse(JSON.stringify(box.position())))
  expect((await next.next(never))?.reading.at).toBe(2)
  expect((await next.next(never))?.reading.at).toBe(3)
  expect(next.length).toBe(0)
})

test('a wait that is interrupted takes nothing', async () => {
  const box = inbox(10)
  const interrupt = new AbortController()
  const waiting = box.next(interrupt.signal)
  interrupt.abort()
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  box.put(reading(1))
  expect((await box.next(never))?.reading.at).toBe(1)
})

test('the place of another kind of source is none', () => {
  expect(inbox(10, { inode: 3, offset: 7 }).length).toBe(0)
  expect(inbox(10, { pending: [1, null, { at: 'x' }, { at: 1, values: {} }] }).length).toBe(1)
})
