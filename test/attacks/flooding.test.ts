import { PassThrough } from 'node:stream'
import { FrameMeter, metered, pace } from '@godwit/hub/mqtt/frame-meter'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'
import { waitFor } from '../support/wait-for.ts'

let box: Box
let mallory: TestDevice
let honest: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  mallory = await TestDevice.enrolled(box, 'mallory', 11)
  honest = await TestDevice.enrolled(box, 'honest', 12)
  await mallory.connect()
  await honest.connect()
  await honest.subscribeAll()
})
afterEach(async () => {
  await mallory.end()
  await honest.end()
  await box.close()
})

const audited = () => box.hub.services.audit.before(undefined, 1_000)
const body = { at: 1, kind: 'anomaly', key: 'a', severity: 'info', detail: {} }
const event = { seq: 1, body } as never

test('rubbish without end neither stops the telemetry of others nor fills the audit', async () => {
  const before = (await audited()).length
  const topic = topics.telemetry(fleet, 'mallory', 'window')
  for (let i = 0; i < 2_000; i++) mallory.client.publish(topic, Buffer.from(`rubbish ${i}`), { qos: 0 })
  await honest.publish(
    topics.telemetry(fleet, 'honest', 'event'),
    honest.seal({ stream: 'event', records: [event] }),
  )
  await waitFor(() => expect(honest.on(topics.ack(fleet, 'honest'))).toHaveLength(1))
  expect((await audited()).length - before).toBeLessThan(5)
})

test('publishing elsewhere again and again ends the connection each time, on record once a minute', async () => {
  const before = (await audited()).length
  for (let i = 0; i < 10; i++) {
    const closed = new Promise<void>((resolve) => mallory.client.once('close', () => resolve()))
    mallory.client.publish(topics.state(fleet, 'honest'), '{}', { qos: 0 })
    await closed
    await mallory.connect()
  }
  expect((await audited()).length - before).toBe(1)
  expect(honest.client.connected).toBe(true)
})

test('a message larger than any that is allowed is cut off before it is held in memory', async () => {
  const closed = new Promise<void>((resolve) => mallory.client.once('close', () => resolve()))
  mallory.client.publish(topics.telemetry(fleet, 'mallory', 'window'), Buffer.alloc(16 * 1_048_576), {
    qos: 0,
  })
  await closed
  expect(honest.client.connected).toBe(true)
})

test('who sends faster than the pace is read no faster, loses nothing, and is not thrown out', async () => {
  let nowMs = 0
  const pingreq = Buffer.from([0xc0, 0])
  const line = new PassThrough()
  metered(line, new FrameMeter(8_192, 131_072), () => nowMs)
  const packets = () => {
    const chunk: Buffer | null = line.read()
    return chunk === null ? 0 : chunk.length / 2
  }
  line.write(Buffer.concat(Array.from({ length: pace.burst + pace.packetsPerSecond }, () => pingreq)))
  expect(packets()).toBe(pace.burst + pace.packetsPerSecond)
  line.write(pingreq)
  expect(packets()).toBe(0)
  nowMs = 999
  expect(packets()).toBe(0)
  nowMs = 1_000
  expect(packets()).toBe(1)
  expect(line.destroyed).toBe(false)
  line.destroy()
})

test('an honest night of telemetry is within the pace', () => {
  // 1,000 batches of 120,000 bytes at once, then twelve megabytes a second.
  expect(pace.burst * 120_000).toBeGreaterThan(100 * 2 ** 20)
  expect(pace.packetsPerSecond).toBeGreaterThanOrEqual(100)
})

test('the others are served while one floods with messages that are all in order', async () => {
  for (let i = 1; i <= 3_000; i++) {
    const state = mallory.state(i % 2 === 0 ? 'online' : 'sleeping', i)
    mallory.client.publish(topics.state(fleet, 'mallory'), state, { qos: 0 })
  }
  await honest.publish(topics.state(fleet, 'honest'), honest.state('online', 1))
  expect(await box.hub.services.fleet.device('honest')).toMatchObject({ status: 'online' })
  expect((await box.hub.http.inject('/readyz')).statusCode).toBe(200)
  expect(mallory.client.connected).toBe(true)
})
