import { topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, joinRequest, newHub } from '../hub/support/new-hub.ts'

let box: Box
let thief: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  thief = await TestDevice.enrolled(box, 'cam', 11)
})
afterEach(async () => {
  await thief.end()
  await box.close()
})

const revoke = () => box.hub.services.fleet.revoke('cam', 'ana')

test('loses the connection that it has open, at once, and gets no other', async () => {
  await thief.connect()
  const closed = new Promise<void>((resolve) => thief.client.once('close', () => resolve()))
  await revoke()
  await closed
  await expect(thief.connect()).rejects.toMatchObject({ code: 4 })
})

test('with a token that is still young reads nothing over HTTP', async () => {
  const { now } = box.time
  const claim = { fleet, deviceId: 'cam', audience: 'http', issuedAt: now, expiresAt: now + 600_000 }
  const headers = { authorization: `Bearer ${mintDeviceToken(claim, thief.seed)}`, 'x-godwit-device': 'cam' }
  const blob = () => box.hub.http.inject({ url: `/blobs/sha256/${'0'.repeat(64)}`, headers })
  expect((await blob()).statusCode).toBe(404)
  await revoke()
  expect((await blob()).statusCode).toBe(401)
})

test('does not come back with the same key and another join token', async () => {
  await revoke()
  const { enrolment } = box.hub.services
  const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
  const { secret } = JSON.parse(Buffer.from(token.slice(5), 'base64url').toString('utf8'))
  expect(await enrolment.enrol(joinRequest(secret, thief.seed, 'cam'))).toMatchObject({
    enrolled: false,
    because: 'revoked-device',
  })
})

test('leaves no directive behind for whoever connects in its name', async () => {
  await thief.connect()
  await revoke()
  const other = await TestDevice.enrolled(box, 'honest', 12)
  await other.connect()
  await other.client.subscribeAsync(topics.downAll(fleet, 'honest'), { qos: 1 })
  expect(other.received.filter(({ topic }) => topic.includes('/cam/'))).toEqual([])
  await other.end()
})
