import { generateKeyPairSync, type KeyPairKeyObjectResult, sign, X509Certificate } from 'node:crypto'
import { fetchOver } from '@godwit/agent/control/link/tls'
import { authorityOf, newAuthority } from '@godwit/hub/tls/authority'
import type { HubCertificates } from '@godwit/hub/tls/hub-certificates'
import { certificateProofBytes } from '@godwit/protocol/messages/certificate'
import { topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, describe, expect, test } from 'vitest'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'

let box: Box
let cam: TestDevice
afterEach(async () => {
  await cam?.end()
  await box.close()
})

async function open(tls: object = { mode: 'hub', clientCertificates: 'required' }): Promise<void> {
  box = await newHub({ tls })
  // Whoever looks at a certificate does so by the wall clock.
  box.time.now = Date.now()
  await box.hub.services.certificates?.reload()
  await box.hub.start()
  cam = await TestDevice.enrolled(box, 'cam', 11)
}

const authority = () => (box.hub.services.certificates as HubCertificates).authority
const trusting = () => ({ ca: authority().certificate })
const newPair = (namedCurve = 'P-256') => generateKeyPairSync('ec', { namedCurve })

function requestFor(
  pair: KeyPairKeyObjectResult,
  about: { deviceId?: string; by?: KeyPairKeyObjectResult } = {},
) {
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const bytes = certificateProofBytes({ fleet, deviceId: about.deviceId ?? 'cam', publicKey })
  return { publicKey, proof: sign('sha256', bytes, (about.by ?? pair).privateKey).toString('base64') }
}

async function ask(payload: object, { deviceId = 'cam', seed = seedOf(11), shows = {} } = {}) {
  const now = box.time.now
  const claim = { fleet, deviceId: 'cam', audience: 'http', issuedAt: now, expiresAt: now + 60_000 }
  const url = `${box.hub.addresses.httpUrl}/api/v1/devices/${deviceId}/certificate`
  const known = box.hub.services.certificates ? { ...trusting(), ...shows } : {}
  const answer = await fetchOver(() => known, fetch)(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${mintDeviceToken(claim, seed)}`,
      'x-godwit-device': 'cam',
    },
    body: JSON.stringify(payload),
  })
  return { status: answer.status, ...((await answer.json()) as { certificate?: string; reason?: string }) }
}

async function issued() {
  const pair = newPair()
  const { certificate } = await ask(requestFor(pair))
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
  return { ...trusting(), cert: Buffer.from(certificate!), key: Buffer.from(key) }
}

describe('a device', () => {
  test('comes for its certificate with its token alone, and gets in with it where one is required', async () => {
    await open()
    await expect(cam.connect(trusting())).rejects.toThrow()
    const own = await issued()
    expect(new X509Certificate(own.cert).subject).toBe('CN=cam')
    for (const url of [
      box.hub.addresses.mqttUrl,
      `${box.hub.addresses.httpUrl.replace('https', 'wss')}/mqtt`,
    ]) {
      await cam.connect(own, url)
      await cam.publish(topics.state(fleet, 'cam'), cam.state('online', 1))
      await cam.end()
    }
    const entry = (await box.hub.services.audit.before(undefined, 10)).find(
      ({ action }) => action === 'device.certificate',
    )
    expect(entry).toMatchObject({ who: 'device:cam', subject: 'cam' })
    expect(entry?.detail).toMatchObject({
      serialNumber: new X509Certificate(own.cert).serialNumber.toLowerCase(),
    })
  })

  test('whose certificate has ended, or is by a stranger, still gets its next one', async () => {
    await open()
    const pair = newPair()
    const stranger = authorityOf(await newAuthority('other', Date.now()))
    const key = Buffer.from(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const ended = await authority().issueClient('cam', pair.publicKey, Date.now() - 200 * 86_400_000)
    const foreign = await stranger.issueClient('cam', pair.publicKey, Date.now())
    for (const certificate of [ended, foreign]) {
      const shows = { cert: Buffer.from(certificate), key }
      await expect(cam.connect({ ...trusting(), ...shows })).rejects.toThrow()
      expect(await ask(requestFor(newPair()), { shows })).toMatchObject({ status: 200 })
    }
  })

  test('does not come in with the certificate of another, however good', async () => {
    await open()
    const pair = newPair()
    const cert = Buffer.from(await authority().issueClient('mote', pair.publicKey, Date.now()))
    const key = Buffer.from(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await expect(cam.connect({ ...trusting(), cert, key })).rejects.toThrow()
  })

  test('that is revoked is put out at once, and neither its certificate nor its token opens anything', async () => {
    await open()
    const own = await issued()
    await cam.connect(own)
    await box.hub.services.fleet.revoke('cam', 'test')
    await cam.hasClosed()
    await expect(cam.connect(own)).rejects.toThrow()
    expect(await ask(requestFor(newPair()))).toMatchObject({ status: 401 })
  })
})

describe('no certificate is made', () => {
  test('for a key that the device does not hold', async () => {
    await open()
    expect(await ask(requestFor(newPair(), { by: newPair() }))).toMatchObject({
      status: 422,
      reason: 'bad_signature',
    })
  })

  test('for a request that was made for another device', async () => {
    await open()
    expect(await ask(requestFor(newPair(), { deviceId: 'mote' }))).toMatchObject({ status: 422 })
    expect(await ask(requestFor(newPair(), { deviceId: 'mote' }), { deviceId: 'mote' })).toMatchObject({
      status: 403,
    })
  })

  test('for a key of another kind, or for what is none', async () => {
    await open()
    for (const pair of [newPair('P-384'), newPair('secp256k1')])
      expect(await ask(requestFor(pair))).toMatchObject({ status: 422, reason: 'malformed' })
    expect(await ask({ publicKey: 'AAAA', proof: 'AAAA' })).toMatchObject({
      status: 422,
      reason: 'malformed',
    })
  })

  test('for whoever has not the key on record', async () => {
    await open()
    expect(await ask(requestFor(newPair()), { seed: seedOf(12) })).toMatchObject({ status: 401 })
  })

  test('by a hub that has no authority', async () => {
    await open({ mode: 'off' })
    expect(await ask(requestFor(newPair()))).toMatchObject({ status: 404 })
  })
})
