import { eventStream } from '@godwit/hub/http/event-stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
})
afterEach(() => box.close())

type Event = { id?: string; event?: string; data?: string }

/** Reads events as a browser does, until enough have come. */
async function read(count: number, { lastEventId, topics }: { lastEventId?: number; topics?: string } = {}) {
  const query = topics === undefined ? '' : `?topics=${topics}`
  const response = await fetch(`${box.hub.addresses.httpUrl}/api/v1/events${query}`, {
    headers: {
      authorization: `Bearer ${box.adminToken}`,
      ...(lastEventId !== undefined && { 'last-event-id': `${lastEventId}` }),
    },
  })
  const events: Event[] = []
  let text = ''
  for await (const chunk of response.body!) {
    text += new TextDecoder().decode(chunk)
    const parts = text.split('\n\n')
    text = parts.pop()!
    for (const part of parts) {
      const fields = part.split('\n').map((line) => line.split(': ', 2) as [string, string])
      const event = Object.fromEntries(fields) as Event
      if (event.event) events.push(event)
    }
    if (events.length >= count) break
  }
  return events
}

const append = (topic: string, type: 'device.state' | 'device.window', data: object) =>
  box.hub.services.feed.append(box.hub.services.database.db, { topic, type, data: { ...data } })

test('a client that comes back gets what it missed, in order', async () => {
  const before = await box.hub.services.feed.newestId()
  for (const n of [1, 2, 3]) await append('device:a', 'device.state', { n })
  const events = await read(3, { lastEventId: before })
  expect(events.map(({ data }) => JSON.parse(data!).n)).toEqual([1, 2, 3])
  expect(Number(events[2]!.id)).toBe(await box.hub.services.feed.newestId())
})

test('news reaches a client that listens', async () => {
  const before = await box.hub.services.feed.newestId()
  const heard = read(1, { lastEventId: before })
  await append('device:a', 'device.state', { n: 7 })
  expect(JSON.parse((await heard)[0]!.data!)).toEqual({ n: 7 })
})

test('news of a transaction that is rolled back is never heard', async () => {
  const { database, feed } = box.hub.services
  const before = await feed.newestId()
  const heard = read(1, { lastEventId: before })
  const failing = database.transaction(async (trx) => {
    await feed.append(trx, { topic: 'fleet', type: 'device.state', data: { n: 'lost' } })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  await append('device:a', 'device.state', { n: 'kept' })
  expect(JSON.parse((await heard)[0]!.data!)).toEqual({ n: 'kept' })
})

test('of many windows of one device the newest is sent', async () => {
  const before = await box.hub.services.feed.newestId()
  for (const n of [1, 2, 3]) await append('device:a', 'device.window', { n })
  await append('device:b', 'device.window', { n: 4 })
  await append('device:a', 'device.state', { n: 5 })
  const events = await read(3, { lastEventId: before })
  expect(events.map(({ data }) => JSON.parse(data!).n)).toEqual([3, 4, 5])
})

test('a client may listen to one thing only', async () => {
  const before = await box.hub.services.feed.newestId()
  await append('device:a', 'device.state', { n: 1 })
  await append('device:b', 'device.state', { n: 2 })
  const [event] = await read(1, { lastEventId: before, topics: 'device:b' })
  expect(JSON.parse(event!.data!)).toEqual({ n: 2 })
})

test('a client that was away for too long is told to ask for everything again', async () => {
  for (const n of [1, 2, 3]) await append('device:a', 'device.state', { n })
  await box.hub.services.feed.prune(box.time.now + 1)
  const [event] = await read(1, { lastEventId: 1 })
  expect(event).toMatchObject({ event: 'reset', id: `${await box.hub.services.feed.newestId()}` })
})

test('an id of another database is told so too', async () => {
  expect((await read(1, { lastEventId: 999_999 }))[0]).toMatchObject({ event: 'reset' })
})

test('a hub stops although somebody is listening', async () => {
  const listening = read(1)
  const ended = listening.then(
    () => 'ended',
    () => 'ended',
  )
  await box.hub.stop()
  expect(await ended).toBe('ended')
})

test('a client that does not read holds one page of the feed in memory, and gets all of it when it does', async () => {
  const newest = 20_000
  let read = 0
  const rowOf = (id: number) => ({ id, at: 0, topic: 'fleet', type: 'audit.entry' as const, data: { id } })
  const feed = {
    ...box.hub.services.feed,
    newestId: async () => newest,
    oldestId: async () => 1,
    async after(id: number, limit: number) {
      const rows = Array.from({ length: Math.min(limit, newest - id) }, (_, i) => rowOf(id + 1 + i))
      read += rows.length
      return rows
    },
  }
  const options = { lastEventId: 0, isWanted: () => true, isWelcome: async () => true }
  const stream = eventStream(feed, options)
  await vi.waitFor(() => expect(stream.readableLength).toBeGreaterThan(stream.readableHighWaterMark))
  // Whatever it still wants to read, it has asked for by then.
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  expect(read).toBeLessThan(newest / 4)
  let last = 0
  for await (const chunk of stream) {
    for (const [, id] of `${chunk}`.matchAll(/^id: (\d+)$/gm)) {
      expect(Number(id)).toBe(last + 1)
      last = Number(id)
    }
    if (last === newest) break
  }
})
