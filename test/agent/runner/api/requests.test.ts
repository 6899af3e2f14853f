import { Turns } from '@godwit/agent/runner/api/turns'
import { Inbox } from '@godwit/agent/runner/sources/inbox'
import { expect, test } from 'vitest'
import { meanSession } from '../fake-session.ts'
import { ManualClock } from '../manual-clock.ts'
import { recordingOf, serve, totalsOf } from '../serve-fixture.ts'

const limits = { deadlineMs: 60_000, queueMax: 1_000 }
const feeds = (values: number[]) => ({
  x: { type: 'float32', dims: [1, 3, 1], data: Float32Array.from(values) },
})
const empty = { length: 0, columns: new Map() }

test('a flood of requests does not starve the source, nor the source the requests', async () => {
  const order: string[] = []
  const session = meanSession((_, input) => order.push(input[0]! < 0 ? 'request' : 'source'))
  const recording = recordingOf(Array.from({ length: 40 }, (_, i) => i))
  const turns = new Turns(new ManualClock())
  const { serving, ended } = serve(recording, { session, turns, windowMs: 60_000 })
  const asked = Array.from({ length: 60 }, () => serving.infer(feeds([-1, -1, -1]), ['score'], limits))
  await ended
  await Promise.all(asked)
  await serving.finish()
  // While both had something to do, neither ran twice in a row.
  const both = order.slice(0, 70)
  expect(both.filter((one, i) => i > 0 && one === both[i - 1]).length).toBeLessThan(4)
})

test('readings = inferences + errors + warmUp, whatever requests do in whatever window', async () => {
  let runs = 0
  const session = meanSession(() => {
    if (++runs % 5 === 0) throw new Error('the runtime gave up')
  })
  const recording = recordingOf(Array.from({ length: 30 }, (_, i) => i % 6))
  const { serving, windows, ended } = serve(recording, { session, windowMs: 1, profile: undefined })
  const asked = Array.from({ length: 30 }, () => serving.infer(feeds([1, 2, 3]), ['score'], limits))
  const answers = await Promise.allSettled(asked)
  await ended
  await serving.finish()
  for (const { record } of windows())
    expect(record.readings).toBe(record.inferences + record.errors + record.warmUp)
  const failed = answers.filter(({ status }) => status === 'rejected').length
  const { readings, errors } = totalsOf(windows())
  expect(readings).toBe(60)
  expect(errors).toBeGreaterThanOrEqual(failed)
  expect(windows().reduce((sum, { record }) => sum + (record.requests ?? 0), 0)).toBe(30)
})

test('requests are held against the profile only where they are the readings of the slot', async () => {
  for (const watchRequests of [true, false]) {
    const source = new Inbox(10, undefined, async () => {})
    const { serving, windows } = serve(empty, { source, watchRequests, windowMs: 60_000 })
    for (let i = 0; i < 8; i++) await serving.infer(feeds([i, i + 1, i + 3]), ['score'], limits)
    // Two answers at once say nothing about one stream.
    const two = { x: { type: 'float32', dims: [2, 3, 1], data: new Float32Array(6) } }
    await serving.infer(two, ['score'], limits)
    await serving.finish()
    const [window] = windows()
    expect(window!.record).toMatchObject({ readings: 9, requests: 9, inferences: 9 })
    expect(window!.record.drift.length).toBe(watchRequests ? 1 : 0)
  }
})

test('what is answered after the hand-over comes in a window of its own, which moves no source', async () => {
  const source = new Inbox(10, undefined, async () => {})
  const { serving, windows } = serve(empty, { source, windowMs: 60_000 })
  await serving.finish()
  await serving.infer(feeds([1, 2, 3]), ['score'], limits)
  serving.closeLate()
  serving.closeLate()
  const [last, late, none] = windows()
  expect(last).toHaveProperty('checkpoint')
  expect(late).not.toHaveProperty('checkpoint')
  expect(late!.record).toMatchObject({ readings: 1, requests: 1, inferences: 1 })
  expect(none).toBeUndefined()
})
