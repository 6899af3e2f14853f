import { createServer, type Server } from 'node:net'
import { systemClock } from '@godwit/agent/runner/clock'
import { openMqtt, readingOfMessage } from '@godwit/agent/runner/sources/mqtt'
import type { Source } from '@godwit/agent/runner/sources/source'
import { Aedes } from 'aedes'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, expect, test } from 'vitest'

const never = new AbortController().signal
let broker: Aedes
let server: Server
let url: string
let client: MqttClient
let cutSource: () => void
const opened: Source[] = []

beforeEach(async () => {
  broker = await Aedes.createBroker()
  broker.on('client', (one) => {
    if (one.id.startsWith('godwit')) cutSource = () => one.close()
  })
  server = createServer(broker.handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`
  client = await connectAsync(url)
})

afterEach(async () => {
  for (const source of opened.splice(0)) await source.close()
  await client.endAsync(true)
  await new Promise<void>((resolve) => broker.close(() => resolve()))
  await new Promise<void>((resolve) => server.close(() => resolve()))
})

/** Resolves when the broker has its subscription. */
async function subscribed(change: object = {}, cursor?: unknown): Promise<Source> {
  const isSubscribed = new Promise<void>((resolve) => broker.once('subscribe', () => resolve()))
  const config = {
    kind: 'mqtt' as const,
    url,
    topic: 'plant/+',
    bufferMax: 100,
    fields: {},
    at: 'at',
    ...change,
  }
  const source = await openMqtt(config, ['t', 'h'], cursor, systemClock, 'main')
  opened.push(source)
  await isSubscribed
  return source
}

const say = (topic: string, value: unknown, options: { retain?: boolean } = {}) =>
  client.publishAsync(topic, JSON.stringify(value), { qos: 1, ...options })

test('messages become readings, by the names that the configuration gives', async () => {
  const source = await subscribed({ fields: { t: 'data.temperature' }, at: 'data.time' })
  await say('plant/7', { data: { temperature: 21.5, time: '2026-01-01T00:00:00Z' }, h: 40 })
  expect((await source.next(never))?.reading).toMatchObject({
    at: Date.UTC(2026, 0, 1),
    values: { t: 21.5, h: 40 },
  })
})

test('a number alone is the field that its topic ends with', async () => {
  const source = await subscribed()
  await say('plant/t', 21.5)
  expect((await source.next(never))?.reading.values).toEqual({ t: 21.5, h: Number.NaN })
})

test('what cannot be read is a reading with its flaw, bounded', () => {
  const read = (text: string) =>
    readingOfMessage('a/b', Buffer.from(text), { fields: { t: 't' }, at: 'at' }, 5)
  expect(read('{')).toMatchObject({ at: 5, values: {}, flaw: expect.stringMatching(/^a\/b: no JSON/) })
  expect(read('[1]').flaw).toMatch(/expected an object, found "\[1\]"/)
  expect(read(`"${'x'.repeat(60_000)}"`).flaw!.length).toBeLessThan(300)
  expect(read('x'.repeat(70_000)).flaw).toMatch(/70000 bytes, expected at most 65536/)
})

test('what a broker had kept from before is no news', async () => {
  await say('plant/t', 1, { retain: true })
  const source = await subscribed()
  await say('plant/t', 2)
  expect((await source.next(never))?.reading.values['t']).toBe(2)
})

test('while no runner is there the broker keeps what comes: a swap loses nothing and repeats nothing', async () => {
  const first = await subscribed()
  const received = []
  for (let t = 0; t < 5; t++) await say('plant/t', t)
  for (let i = 0; i < 2; i++) received.push((await first.next(never))?.reading.values['t'])
  await first.close()
  for (let t = 5; t < 8; t++) await say('plant/t', t)
  const second = await subscribed({}, JSON.parse(JSON.stringify(first.position!())))
  for (let i = 0; i < 6; i++) received.push((await second.next(never))?.reading.values['t'])
  expect(received).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
})

test('a flood beyond the buffer drops the oldest, counted', async () => {
  const source = await subscribed({ bufferMax: 3 })
  for (let t = 0; t < 10; t++) await say('plant/t', t)
  // The broker has delivered in order, so once the newest is there all others were.
  while (source.position && !JSON.stringify(source.position()).includes('"t":9'))
    await new Promise((resolve) => setImmediate(resolve))
  expect(source.dropped!()).toBe(7)
})

test('a broker that comes back is connected to again', async () => {
  const source = await subscribed()
  const again = new Promise<void>((resolve) => broker.once('subscribe', () => resolve()))
  cutSource()
  await again
  await say('plant/t', 3)
  expect((await source.next(never))?.reading.values['t']).toBe(3)
})

test('messages that come in the very moment of a swap are taken once', async () => {
  const first = await subscribed({ bufferMax: 1_000 })
  const published: Promise<unknown>[] = []
  for (let t = 0; t < 150; t++) published.push(say('plant/t', t))
  // Some have come, some are on the wire, some have not been sent.
  await published[20]
  await first.close()
  const second = await subscribed({ bufferMax: 1_000 }, JSON.parse(JSON.stringify(first.position!())))
  await Promise.all(published)
  const received: unknown[] = []
  while (received.length < 150) received.push((await second.next(never))?.reading.values['t'])
  expect(new Set(received).size).toBe(150)
})
