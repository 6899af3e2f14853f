import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'

let here: Box
let there: Box
beforeEach(async () => {
  here = await newHub()
  there = await newHub()
  await here.hub.start()
})
afterEach(async () => {
  await here.close()
  await there.close()
})

test('an API token of another hub opens nothing here, though it is one by its checksum', async () => {
  const answer = await here.hub.http.inject({
    url: '/api/v1/devices',
    headers: { authorization: `Bearer ${there.adminToken}` },
  })
  expect(answer.statusCode).toBe(401)
})

test('a device token for another fleet opens nothing here, by the same device with the same key', async () => {
  const cam = await TestDevice.enrolled(here, 'cam', 11)
  const { now } = here.time
  const claim = {
    fleet: 'another',
    deviceId: 'cam',
    audience: 'mqtt',
    issuedAt: now,
    expiresAt: now + 600_000,
  }
  const password = mintDeviceToken(claim, cam.seed)
  await expect(cam.connect({ password })).rejects.toMatchObject({ code: 4 })
  await cam.connect({ password: mintDeviceToken({ ...claim, fleet }, cam.seed) })
  await cam.end()
})

test("a join token of another hub lets nobody in, and another fleet's invitation neither", async () => {
  const { token } = await there.hub.services.enrolment.createJoinToken(
    { labels: {}, uses: 1, expiresInMs: 60_000 },
    'test',
  )
  const { secret } = JSON.parse(Buffer.from(token.slice(5), 'base64url').toString('utf8'))
  const ana = (await there.hub.services.users.create('ana', ['admin'], 'test'))!
  const invitation = (await there.hub.services.users.invite(ana.id, 'test'))!
  const proofless = { token: secret, publicKey: '0'.repeat(64), proof: '0'.repeat(128) }
  expect(await here.hub.services.enrolment.enrol(proofless)).toMatchObject({ enrolled: false })
  expect(
    await here.hub.services.users.acceptInvitation(invitation.secret, 'a long enough password'),
  ).toBeUndefined()
})
