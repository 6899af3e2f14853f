import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { checkDeviceToken, mintDeviceToken, readDeviceToken } from '@godwit/protocol/trust/device-token'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { fromBase64url, toBase64url, utf8 } from '@godwit/protocol/trust/encoding'
import { describe, expect, test } from 'vitest'
import { now, seedOf } from '../../support/tuf-repository.ts'

const seed = seedOf('valve-7')
const publicKey = publicKeyOf(seed)
const minuteMs = 60_000
const claim = {
  fleet: 'north',
  deviceId: 'valve-7',
  issuedAt: now,
  expiresAt: now + 30 * minuteMs,
  audience: 'mqtt',
}
const expected = { fleet: 'north', deviceId: 'valve-7', audience: 'mqtt', now, skewMsMax: 10 * minuteMs }
const token = mintDeviceToken(claim, seed)

describe('a device token', () => {
  test('says who the device is, and fits an MQTT password', () => {
    expect(checkDeviceToken(token, publicKey, expected)).toMatchObject({ trusted: true, value: claim })
    expect(readDeviceToken(token)).toMatchObject({ trusted: true, value: { deviceId: 'valve-7' } })
    expect(token).toMatch(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$/)
    expect(token.length).toBeLessThan(400)
  })

  test.each([
    ['of another fleet', { fleet: 'south' }, 'wrong-fleet'],
    ['of another device', { deviceId: 'camera-1' }, 'wrong-device'],
    ['meant for another service', { audience: 'http' }, 'wrong-audience'],
  ])('%s is refused', (_, change, because) => {
    expect(checkDeviceToken(token, publicKey, { ...expected, ...change })).toMatchObject({ because })
  })

  test('holds from its issue to its expiry, plus the skew on either side and not a millisecond more', () => {
    const at = (ms: number) => checkDeviceToken(token, publicKey, { ...expected, now: ms })
    expect(at(claim.issuedAt - 10 * minuteMs)).toMatchObject({ trusted: true })
    expect(at(claim.issuedAt - 10 * minuteMs - 1)).toMatchObject({ because: 'not-yet-valid' })
    expect(at(claim.expiresAt + 10 * minuteMs - 1)).toMatchObject({ trusted: true })
    expect(at(claim.expiresAt + 10 * minuteMs)).toMatchObject({ because: 'expired' })
  })

  test.each([0, -1, 60 * minuteMs + 1, 10 ** 15])('with a life of %i ms is refused', (lifeMs) => {
    const long = mintDeviceToken({ ...claim, expiresAt: now + lifeMs }, seed)
    expect(checkDeviceToken(long, publicKey, expected)).toMatchObject({ because: 'life-exceeded' })
  })

  test('of a device that signs with another key is refused', () => {
    const forged = mintDeviceToken(claim, seedOf('mallory'))
    expect(checkDeviceToken(forged, publicKey, expected)).toMatchObject({ because: 'bad-signature' })
  })

  test('tampered with at any character is refused', () => {
    for (let i = 0; i < token.length; i++) {
      const changed = `${token.slice(0, i)}${token[i] === 'A' ? 'B' : 'A'}${token.slice(i + 1)}`
      expect(checkDeviceToken(changed, publicKey, expected).trusted, `character ${i}`).toBe(false)
    }
  })

  test('in another spelling is refused, though the signature over its bytes is right', () => {
    const [payload] = token.split('.')
    const text = Buffer.from(fromBase64url(payload!)!).toString()
    for (const other of [
      text.replace(',', ', '),
      text.replace('{', '{"admin":true,'),
      text.replace('"fleet"', '"fleet":"south","fleet"'),
      text.replace('"device-token"', '"report"'),
      text.replace('"device-token"', '["device-token"]'),
    ]) {
      const respelled = `${toBase64url(utf8(other))}.${toBase64url(sign(seed, utf8(other)))}`
      expect(checkDeviceToken(respelled, publicKey, expected), other).toMatchObject({ because: 'malformed' })
    }
  })

  test.each([
    '',
    '.',
    'a.b.c',
    token.replace('.', ''),
    `${token}.`,
    `${token}=`,
    ' ',
    'é.é',
    'x'.repeat(5_000),
  ])('is not %j', (text) => {
    expect(checkDeviceToken(text, publicKey, expected).trusted).toBe(false)
  })

  test('cannot be made of something else that the device signed', () => {
    const report = canonicalBytes({ ...claim, _type: 'report' })
    const posing = `${toBase64url(report)}.${toBase64url(sign(seed, report))}`
    expect(checkDeviceToken(posing, publicKey, expected)).toMatchObject({ because: 'malformed' })
  })
})
