import { streams, topics } from '@godwit/protocol/topics'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'

let box: Box
let mallory: TestDevice
let neighbour: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  mallory = await TestDevice.enrolled(box, 'mallory', 11)
  neighbour = await TestDevice.enrolled(box, 'neighbour', 12)
  await neighbour.connect()
  await neighbour.subscribeAll()
})
afterEach(async () => {
  await mallory.end()
  await neighbour.end()
  await box.close()
})

const kinds: [string, string][] = [
  ['state', topics.state(fleet, 'mallory')],
  ['birth', topics.birth(fleet, 'mallory')],
  ['reported', topics.reported(fleet, 'mallory')],
  ['progress', topics.progress(fleet, 'mallory')],
  ['block request', topics.blockRequest(fleet, 'mallory')],
  ...streams.map((stream): [string, string] => [
    `telemetry ${stream}`,
    topics.telemetry(fleet, 'mallory', stream),
  ]),
]

/** The hub answers over HTTP, and somebody who has done nothing still gets through and back. */
async function neighbourIsServed(connection: number): Promise<void> {
  expect((await box.hub.http.inject('/readyz')).statusCode).toBe(200)
  expect(neighbour.client.connected).toBe(true)
  await neighbour.publish(topics.state(fleet, 'neighbour'), neighbour.state('online', connection))
  expect(await box.hub.services.fleet.device('neighbour')).toMatchObject({ status: 'online' })
}

/** Deep, wide, torn, wrongly typed and ambiguous; each is small. */
const malformed: [string, string | Uint8Array][] = [
  ['nothing', ''],
  ['a lone brace', '{'],
  ['null', 'null'],
  ['a list', '[]'],
  ['a thousand levels', '['.repeat(1_000)],
  ['a prototype', '{"__proto__":{"status":"online"},"constructor":{"prototype":{}}}'],
  ['a number that is none', '{"status":"online","bootId":"b","connection":1e999,"at":NaN}'],
  ['half a character', new Uint8Array([0x7b, 0x22, 0xc3])],
  ['CBOR that promises four gigabytes', new Uint8Array([0x9b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])],
  ['CBOR without an end', new Uint8Array([0x9f, 0x9f, 0x9f])],
  ['a signature of nothing', '{"signed":null,"signatures":[{"keyid":"x","sig":"y"}]}'],
]

test.each(kinds)('malformed payloads on %s change nothing, and nobody else notices', async (_, topic) => {
  await mallory.connect()
  const before = await box.hub.services.fleet.device('mallory')
  for (const [, payload] of malformed) await mallory.publish(topic, payload)
  expect(mallory.client.connected).toBe(true)
  expect(await box.hub.services.fleet.device('mallory')).toEqual(before)
  await neighbourIsServed(1)
})

test.each(kinds)('the longest payload that still is a packet on %s is not taken', async (_, topic) => {
  await mallory.connect()
  const before = await box.hub.services.fleet.device('mallory')
  await mallory.publish(topic, 'x'.repeat(130_000))
  expect(mallory.client.connected).toBe(true)
  expect(await box.hub.services.fleet.device('mallory')).toEqual(before)
  await neighbourIsServed(1)
})

test('bytes of every kind on every topic leave the hub as it was', async () => {
  await mallory.connect()
  const before = await box.hub.services.fleet.device('mallory')
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...kinds.map(([, topic]) => topic)),
      fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.json({ maxDepth: 4 })),
      async (topic, payload) => {
        await mallory.publish(topic, payload)
      },
    ),
    { numRuns: 200 },
  )
  expect(mallory.client.connected).toBe(true)
  expect(await box.hub.services.fleet.device('mallory')).toEqual(before)
  await neighbourIsServed(1)
})
