import { startBroker } from '@godwit/hub/mqtt/broker'
import type { Peer } from '@godwit/hub/tls/client-certificate'
import { sealKeyRotation } from '@godwit/protocol/messages/key-rotation'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { publicKeyOf } from '@godwit/protocol/trust/ed25519'
import { toHex } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, signatureOver } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import mqtt from 'mqtt'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'

const [old, next] = [seedOf(11), seedOf(12)]
let box: Box
let cam: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  cam = await TestDevice.enrolled(box, 'cam', 11)
})
afterEach(async () => {
  await cam.end()
  await box.close()
})

const about = (change: object = {}) => ({ fleet, deviceId: 'cam', issuedAt: box.time.now, ...change })

async function post(body: Uint8Array | object, { deviceId = 'cam', caller = 'cam', seed = old } = {}) {
  const now = box.time.now
  const claim = { fleet, deviceId: caller, audience: 'http', issuedAt: now, expiresAt: now + 60_000 }
  const answer = await box.hub.http.inject({
    method: 'POST',
    url: `/api/v1/devices/${deviceId}/rotate`,
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${mintDeviceToken(claim, seed)}`,
      'x-godwit-device': caller,
    },
    payload: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body),
  })
  return { status: answer.statusCode, ...(answer.json() as { reason?: string; changed?: boolean }) }
}

const tokenOf = async (seed: Uint8Array) =>
  (await box.hub.services.fleet.authenticate('cam', cam.token('cam', seed), 'mqtt')).trusted

test('a device takes another key: the old one opens nothing from then on, and its connection ends', async () => {
  await cam.connect()
  expect(await post(sealKeyRotation(about(), old, next))).toMatchObject({ status: 200, changed: true })
  await cam.hasClosed()
  expect([await tokenOf(old), await tokenOf(next)]).toEqual([false, true])
  await expect(cam.connect()).rejects.toThrow()
  await cam.connect({ password: cam.token('cam', next) })
  const [entry] = await box.hub.services.audit.before(undefined, 1)
  expect(entry).toMatchObject({
    who: 'device:cam',
    action: 'device.rotate-key',
    detail: { from: toHex(publicKeyOf(old)), to: toHex(publicKeyOf(next)) },
  })
})

test('a device that lost the answer asks again, and nothing more happens', async () => {
  const document = sealKeyRotation(about(), old, next)
  await post(document)
  await cam.connect({ password: cam.token('cam', next) })
  expect(await post(document)).toMatchObject({ status: 401 })
  expect(await post(document, { seed: next })).toMatchObject({ status: 200, changed: false })
  expect(cam.closed).toBe(false)
})

describe('a rotation is refused', () => {
  const signed = () => JSON.parse(new TextDecoder().decode(sealKeyRotation(about(), old, next)))

  test('without the old key, and without the new one', async () => {
    const both = signed()
    for (const signature of both.signatures) {
      const one = { ...both, signatures: [signature] }
      expect(await post(one)).toMatchObject({ status: 422, reason: 'bad_signature' })
    }
    expect(await tokenOf(old)).toBe(true)
  })

  test('by a stranger who names the old key', async () => {
    const { signed: document } = signed()
    const stranger = seedOf(13)
    const forged = {
      signed: document,
      signatures: [
        { ...signatureOver(document, stranger, keyOfSeed(old)) },
        signatureOver(document, next, keyOfSeed(next)),
      ],
    }
    expect(await post(encodeEnvelope(forged))).toMatchObject({ status: 422, reason: 'bad_signature' })
    expect(await post(sealKeyRotation(about(), stranger, next))).toMatchObject({ reason: 'bad_signature' })
  })

  test.for([
    ['of another fleet', { fleet: 'other' }, 'wrong_fleet'],
    ['of another device', { deviceId: 'mote' }, 'wrong_device'],
    ['from yesterday', { issuedAt: -86_400_000 }, 'expired'],
    ['from tomorrow', { issuedAt: 86_400_000 }, 'not_yet_valid'],
  ] as const)('%s', async ([, change, reason]) => {
    const at = 'issuedAt' in change ? { issuedAt: box.time.now + change.issuedAt } : change
    expect(await post(sealKeyRotation(about(at), old, next))).toMatchObject({ reason })
    expect(await tokenOf(old)).toBe(true)
  })

  test('to a key that another device has, and of a device that is revoked', async () => {
    await TestDevice.enrolled(box, 'mote', 12)
    expect(await post(sealKeyRotation(about(), old, next))).toMatchObject({ reason: 'not_listed' })
    await box.hub.services.fleet.revoke('cam', 'test')
    const document = sealKeyRotation(about(), old, seedOf(14))
    expect(await post(document)).toMatchObject({ status: 401, reason: 'not_listed' })
    expect(await box.hub.services.keyRotation.rotate('cam', document)).toMatchObject({
      because: 'not-listed',
    })
  })

  test('when another device brings it, or a person', async () => {
    await TestDevice.enrolled(box, 'mote', 13)
    const document = sealKeyRotation(about(), old, next)
    expect(await post(document, { caller: 'mote', seed: seedOf(13) })).toMatchObject({ status: 403 })
    const byPerson = await box.hub.http.inject({
      method: 'POST',
      url: '/api/v1/devices/cam/rotate',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${box.adminToken}` },
      payload: Buffer.from(document),
    })
    expect(byPerson.statusCode).toBe(403)
    expect(await tokenOf(old)).toBe(true)
  })

  test('when it was recorded before the device took yet another key', async () => {
    const recorded = sealKeyRotation(about(), old, next)
    await post(recorded)
    await post(sealKeyRotation(about(), next, seedOf(15)), { seed: next })
    expect(await post(recorded, { seed: seedOf(15) })).toMatchObject({ reason: 'bad_signature' })
    expect(await tokenOf(seedOf(15))).toBe(true)
  })

  test('when it is no document at all', async () => {
    for (const body of [{}, { signed: {}, signatures: [] }, { signed: { _type: 'report' }, signatures: [] }])
      expect((await post(body)).status).toBe(422)
    expect((await post({ signed: { _type: 'key-rotation', x: 0.5 }, signatures: [] })).status).toBe(422)
  })
})

test('a client whose key goes while its token is looked at does not slip in', async () => {
  let answer: ((may: boolean) => void) | undefined
  const asked = Promise.withResolvers<Peer>()
  const broker = await startBroker(
    { host: '127.0.0.1', port: 0 },
    {
      mayConnect: (_id, _user, _password, peer) =>
        new Promise((resolve) => {
          answer = resolve
          asked.resolve(peer)
        }),
      admit: async () => 'take',
      maySubscribe: () => true,
      gone: () => {},
    },
  )
  const options = { clientId: 'cam', username: 'cam', password: 'x', reconnectPeriod: 0 }
  const connecting = mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, options, false)
  const refused = expect(connecting).rejects.toThrow()
  expect(await asked.promise).toEqual({ certificate: 'none' })
  broker.kick('cam')
  answer?.(true)
  await refused
  expect(broker.isConnected('cam')).toBe(false)
  await broker.stop()
})
