import { pendingPerNetworkMax } from '@godwit/hub/fleet/waiting-room'
import {
  type EnrolmentRequest,
  enrolmentProofBytes,
  keyFingerprint,
} from '@godwit/protocol/messages/enrolment'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { toHex } from '@godwit/protocol/trust/encoding'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const publicKey = (byte: number) => toHex(publicKeyOf(seedOf(byte)))
const fingerprint = (byte: number) => keyFingerprint(publicKey(byte)).replaceAll(' ', '')

/** What a device with this key sends when it has no token. */
function knock(byte: number, deviceId?: string): EnrolmentRequest {
  const request = { publicKey: publicKey(byte), ...(deviceId !== undefined && { deviceId }) }
  return { ...request, proof: toHex(sign(seedOf(byte), enrolmentProofBytes(request))) }
}
const ask = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
  box.hub.http.inject({
    method,
    url: `/api/v1${url}`,
    headers: { authorization: `Bearer ${box.adminToken}` },
    ...(payload && { payload }),
  })
const enrol = (request: object, remoteAddress = '10.0.0.7') =>
  box.hub.http.inject({ method: 'POST', url: '/api/v1/enrol', payload: request, remoteAddress })
const pending = async () => (await ask('GET', '/pending-devices')).json().items
const audited = async () => (await box.hub.services.audit.before(undefined, 100)).map(({ action }) => action)

describe('a device without a token', () => {
  test('waits on a list, and comes in once somebody has compared fingerprints', async () => {
    const first = await enrol(knock(11, 'cam'))
    expect([first.statusCode, first.json()]).toEqual([
      202,
      { pending: true, fingerprint: keyFingerprint(publicKey(11)), retryAfterMs: expect.any(Number) },
    ])
    expect(await pending()).toMatchObject([
      { fingerprint: keyFingerprint(publicKey(11)), wantedId: 'cam', address: '10.0.0.7' },
    ])
    const approve = `/pending-devices/${fingerprint(11)}/approve`
    expect((await ask('POST', approve, { labels: { site: 'hall-3' } })).json()).toMatchObject({
      deviceId: 'cam',
    })
    expect(await pending()).toEqual([])
    expect((await enrol(knock(11, 'cam'))).json()).toMatchObject({
      deviceId: 'cam',
      labels: { site: 'hall-3' },
    })
    expect(await audited()).toEqual(expect.arrayContaining(['device.approve', 'device.enrol']))
    // A power cut took the answer: the same key is the same device.
    expect((await enrol(knock(11, 'cam'))).json()).toMatchObject({ deviceId: 'cam' })
    expect(await box.hub.services.fleet.devices()).toHaveLength(1)
  })

  test('gets the name that the operator gives, whatever it asked for', async () => {
    await enrol(knock(11, 'boss'))
    await ask('POST', `/pending-devices/${fingerprint(11)}/approve`, { deviceId: 'cam-7' })
    expect((await enrol(knock(11))).json()).toMatchObject({ deviceId: 'cam-7' })
  })

  test('that was rejected hears so for three days, unless it is approved after all', async () => {
    await enrol(knock(11))
    await enrol(knock(12))
    const answers = await Promise.all(
      [11, 12, 12].map((byte) => ask('POST', `/pending-devices/${fingerprint(byte)}/reject`)),
    )
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([204, 204, 204])
    expect((await audited()).filter((action) => action === 'device.reject')).toHaveLength(2)
    expect(await pending()).toMatchObject([
      { rejectedAt: expect.any(String) },
      { rejectedAt: expect.any(String) },
    ])
    const refused = await enrol(knock(11))
    expect([refused.statusCode, refused.json().reason]).toEqual([403, 'rejected_device'])
    expect(await box.hub.services.fleet.devices()).toEqual([])
    await ask('POST', `/pending-devices/${fingerprint(12)}/approve`)
    expect((await enrol(knock(12))).statusCode).toBe(200)
    box.time.now += 4 * 86_400_000
    expect((await enrol(knock(11))).statusCode).toBe(202)
  })

  test('behind one IPv6 network is one of a few, whatever address of it is used', async () => {
    for (let i = 0; i < pendingPerNetworkMax; i++) await enrol(knock(100 + i), `2001:db8:1:1::${i + 1}`)
    expect((await enrol(knock(90), '2001:db8:1:1:ffff::1')).statusCode).toBe(429)
    expect((await enrol(knock(90), '2001:db8:1:2::1')).statusCode).toBe(202)
  })

  test('is not let in by an approval of another key', async () => {
    await enrol(knock(11, 'cam'))
    await ask('POST', `/pending-devices/${fingerprint(11)}/approve`)
    expect((await enrol(knock(99, 'cam'))).statusCode).toBe(202)
    expect((await enrol({ ...knock(99), publicKey: publicKey(11) })).json()).toMatchObject({
      reason: 'bad_proof',
    })
  })

  test('cannot take a name that is taken', async () => {
    await enrol(knock(11, 'cam'))
    await ask('POST', `/pending-devices/${fingerprint(11)}/approve`)
    await enrol(knock(11, 'cam'))
    await enrol(knock(12, 'cam'))
    expect((await ask('POST', `/pending-devices/${fingerprint(12)}/approve`)).statusCode).toBe(409)
  })

  test('that floods the list from one address leaves room for others, and old ones are forgotten', async () => {
    for (let i = 0; i < pendingPerNetworkMax; i++) expect((await enrol(knock(100 + i))).statusCode).toBe(202)
    const full = await enrol(knock(90))
    expect([full.statusCode, full.json().reason]).toEqual([429, 'waiting_room_full'])
    expect((await enrol(knock(91), '10.0.0.8')).statusCode).toBe(202)
    // One that is on the list already may go on asking.
    expect((await enrol(knock(100))).statusCode).toBe(202)
    box.time.now += 4 * 86_400_000
    expect((await enrol(knock(90))).statusCode).toBe(202)
    expect(await pending()).toHaveLength(1)
  })
})

describe('a registered key', () => {
  const keys = (bytes: number[]) =>
    bytes.map((byte) => ({ publicKey: publicKey(byte), deviceId: `cam-${byte}`, labels: { lot: '7' } }))

  test('joins as its device with no secret and no person', async () => {
    expect((await ask('POST', '/registered-keys', { keys: keys([11, 12]) })).json()).toEqual({
      registered: 2,
    })
    expect((await enrol(knock(11))).json()).toMatchObject({ deviceId: 'cam-11', labels: { lot: '7' } })
    expect((await enrol(knock(12, 'cam-12'))).json()).toMatchObject({ deviceId: 'cam-12' })
    expect(await pending()).toEqual([])
  })

  test('is worth nothing to who does not hold its private half', async () => {
    await ask('POST', '/registered-keys', { keys: keys([11]) })
    const stolen = { ...knock(99), publicKey: publicKey(11) }
    expect((await enrol(stolen)).json()).toMatchObject({ reason: 'bad_proof' })
  })

  test('comes in a list of which all are taken or none', async () => {
    await ask('POST', '/registered-keys', { keys: keys([11]) })
    const clash = [...keys([12]), { publicKey: publicKey(13), deviceId: 'cam-11' }]
    const answer = await ask('POST', '/registered-keys', { keys: clash })
    expect(answer.statusCode).toBe(409)
    expect(answer.json().errors).toMatchObject([{ detail: expect.stringContaining('cam-11') }])
    expect((await ask('GET', '/registered-keys')).json().items).toHaveLength(1)
    const twice = await ask('POST', '/registered-keys', { keys: [...keys([14]), ...keys([14])] })
    expect(twice.statusCode).toBe(409)
  })

  test('that is no point of the curve is refused with its place', async () => {
    const answer = await ask('POST', '/registered-keys', {
      keys: [{ publicKey: '0'.repeat(64), deviceId: 'x' }],
    })
    expect([answer.statusCode, answer.json().errors]).toMatchObject([
      422,
      [{ pointer: '#/keys/0/publicKey' }],
    ])
  })

  test('that was taken off the list waits like any other', async () => {
    await ask('POST', '/registered-keys', { keys: keys([11]) })
    expect((await ask('DELETE', `/registered-keys/${publicKey(11)}`)).statusCode).toBe(204)
    expect((await enrol(knock(11))).statusCode).toBe(202)
  })
})

test('a revoked device does not come back by its key alone', async () => {
  await ask('POST', '/registered-keys', { keys: [{ publicKey: publicKey(11), deviceId: 'cam' }] })
  await enrol(knock(11))
  await box.hub.services.fleet.revoke('cam', 'test')
  expect((await enrol(knock(11))).json()).toMatchObject({ status: 403, reason: 'revoked_device' })
})
