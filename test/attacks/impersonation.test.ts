import { topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub, seedOf } from '../hub/support/new-hub.ts'
import { waitFor } from '../support/wait-for.ts'

let box: Box
let mallory: TestDevice
let victim: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  mallory = await TestDevice.enrolled(box, 'mallory', 11)
  victim = await TestDevice.enrolled(box, 'victim', 12)
})
afterEach(async () => {
  await mallory.end()
  await victim.end()
  await box.close()
})

const told = async () => (await box.hub.services.feed.after(0, 500)).map(({ data }) => data['kind'])
const claim = (change: object = {}) => {
  const { now } = box.time
  const bare = { fleet, deviceId: 'mallory', audience: 'mqtt', issuedAt: now, expiresAt: now + 600_000 }
  return mintDeviceToken({ ...bare, ...change }, mallory.seed)
}

test.each([
  ['of another fleet', () => ({ fleet: 'other-fleet' })],
  ['for another audience', () => ({ audience: 'http' })],
  ['of another device, signed by oneself', () => ({ deviceId: 'victim' })],
  ['that has expired', () => ({ issuedAt: box.time.now - 3_600_000, expiresAt: box.time.now - 1_800_000 })],
  [
    'from far in the future',
    () => ({ issuedAt: box.time.now + 3_600_000, expiresAt: box.time.now + 4_000_000 }),
  ],
  ['that one gave oneself for a year', () => ({ expiresAt: box.time.now + 365 * 86_400_000 })],
])('a token %s opens nothing', async (_, change) => {
  await expect(mallory.connect({ password: claim(change()) })).rejects.toMatchObject({ code: 4 })
  await mallory.connect({ password: claim() })
  expect(mallory.client.connected).toBe(true)
})

test('a token for MQTT reads no blob over HTTP', async () => {
  const headers = { authorization: `Bearer ${claim()}`, 'x-godwit-device': 'mallory' }
  const blob = (header: object) =>
    box.hub.http.inject({ url: `/blobs/sha256/${'0'.repeat(64)}`, headers: { ...headers, ...header } })
  expect((await blob({})).statusCode).toBe(401)
  const http = claim({ audience: 'http' })
  // The blob is not there, but the door is open.
  expect((await blob({ authorization: `Bearer ${http}` })).statusCode).toBe(404)
  expect((await blob({ authorization: `Bearer ${http}`, 'x-godwit-device': 'victim' })).statusCode).toBe(401)
})

test("telemetry in another's name is not stored for either of them", async () => {
  await mallory.connect()
  const topic = topics.telemetry(fleet, 'mallory', 'event')
  const event = { seq: 1, at: 1, kind: 'anomaly', severity: 'info', detail: {} } as never
  // Signed by oneself but about the victim; about oneself but signed by a stranger.
  await mallory.publish(topic, mallory.seal({ stream: 'event', deviceId: 'victim', records: [event] }))
  await mallory.publish(topic, mallory.seal({ stream: 'event', records: [event] }, seedOf(99)))
  await waitFor(async () =>
    expect((await told()).filter((kind) => String(kind).startsWith('message_')).length).toBeGreaterThan(0),
  )
  const { body } = await box.hub.http.inject({
    url: '/api/v1/telemetry/events',
    headers: { authorization: `Bearer ${box.adminToken}` },
  })
  expect(JSON.parse(body).items).toEqual([])
})

test("a report in another's name changes neither of them", async () => {
  await mallory.connect()
  const slot = { phase: 'idle', attempt: 0, answered: 0 } as const
  await mallory.publish(topics.reported(fleet, 'mallory'), victim.report(0, slot), { qos: 1, retain: true })
  await waitFor(async () =>
    expect((await told()).some((kind) => String(kind).startsWith('message_'))).toBe(true),
  )
  for (const id of ['mallory', 'victim'])
    expect((await box.hub.services.fleet.device(id))?.report).toBeUndefined()
})

test("a will on another's topic is never published", async () => {
  await victim.connect()
  await victim.publish(topics.state(fleet, 'victim'), victim.state('online', 1), { qos: 1, retain: true })
  const payload = Buffer.from(victim.state('offline', 2))
  const will = { topic: topics.state(fleet, 'victim'), payload, qos: 1 as const, retain: true }
  await mallory.connect({ will })
  mallory.client.stream.destroy()
  await waitFor(async () =>
    expect(
      (await box.hub.services.audit.before(undefined, 100)).map(({ who, action }) => [who, action]),
    ).toContainEqual(['device:mallory', 'mqtt.refused']),
  )
  expect((await box.hub.services.fleet.device('victim'))?.status).toBe('online')
  expect(victim.client.connected).toBe(true)
})
