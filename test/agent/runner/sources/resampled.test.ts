import type { Checkpoint } from '@godwit/agent/runner/messages'
import { Inbox } from '@godwit/agent/runner/sources/inbox'
import { openSource } from '@godwit/agent/runner/sources/open'
import { ResampledSource, rawCursor } from '@godwit/agent/runner/sources/resampled'
import type { Reading } from '@godwit/agent/runner/sources/source'
import type { Resample } from '@godwit/protocol/release/pipeline'
import { expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'
import { pipeline, serve } from '../serve-fixture.ts'

const never = new AbortController().signal
const spec: Resample = { intervalMs: 1_000, how: 'mean' }
const terms = { spec, fields: ['t'], window: 3 }

function boxOf(readings: readonly Reading[], cursor?: unknown): Inbox {
  const box = new Inbox(100, cursor, async () => {})
  for (const reading of readings) box.put(reading)
  box.end()
  return box
}

const inputs = Array.from({ length: 20 }, (_, i): Reading => ({ at: 10_000 + i * 300, values: { t: i } }))

async function drain(source: ResampledSource, most = Number.POSITIVE_INFINITY): Promise<Reading[]> {
  const readings: Reading[] = []
  while (readings.length < most) {
    const next = await source.next(never)
    if (!next) break
    readings.push(next.reading)
  }
  return readings
}

test('a source that is resampled and handed over anywhere gives what it would have given', async () => {
  const whole = await drain(new ResampledSource(boxOf(inputs), terms, undefined))
  expect(whole.length).toBeGreaterThan(4)
  for (let most = 0; most <= whole.length; most++) {
    const first = new ResampledSource(boxOf(inputs), terms, undefined)
    const before = await drain(first, most)
    const place = JSON.parse(JSON.stringify(first.position()))
    const second = new ResampledSource(boxOf([], rawCursor(place)), terms, place)
    expect([...before, ...(await drain(second))]).toEqual(whole)
  }
})

test('a pipeline that does not resample goes on where one that did has left off', async () => {
  const first = new ResampledSource(boxOf(inputs), terms, undefined)
  await drain(first, 1)
  const cursor = JSON.parse(JSON.stringify(first.position()))
  const config = { kind: 'api' as const, bufferMax: 100 }
  const plain = await openSource({ config, pipeline, cursor, slot: 'main' }, new ManualClock())
  const { waiting } = cursor.resampled
  expect((await plain.next(never))?.reading.at).toBe(waiting.at + 300)
})

test('dropped inputs are told in the window they were dropped in, and are no readings', async () => {
  const box = new Inbox(3, undefined, async () => {})
  for (const input of inputs) box.put(input)
  box.end()
  const { serving, windows, ended } = serve(
    { length: 0, columns: new Map() },
    { source: box, windowMs: 60_000 },
  )
  await ended
  await serving.finish()
  const [{ record, events }] = windows() as [ReturnType<typeof windows>[number]]
  expect(record).toMatchObject({ readings: 3, warmUp: 2, inferences: 1, dropped: 17 })
  expect(events.find(({ kind }) => kind === 'inputs_dropped')?.detail).toMatchObject({ dropped: 17 })
  expect(windows()[1]?.record).not.toHaveProperty('dropped')
})

test('what waits is in the checkpoint of every window', async () => {
  const box = new Inbox(100, undefined, async () => {})
  const { serving, windows } = serve(
    { length: 0, columns: new Map() },
    { source: box, windowMs: 1, stepMs: 5 },
  )
  for (const input of inputs.slice(0, 6)) box.put(input)
  await serving.finish()
  const checkpoint = windows().at(-1)!.checkpoint as Checkpoint
  const taken = windows().reduce((sum, { record }) => sum + record.readings, 0)
  expect((checkpoint.source as { pending: Reading[] }).pending).toHaveLength(6 - taken)
})
