import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'

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
  await vi.waitFor(() => expect(honest.on(topics.ack(fleet, 'honest'))).toHaveLength(1))
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
