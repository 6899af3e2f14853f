import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { foreignKeys } from '@godwit/protocol/crypto/foreign-keys'
import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { toHex } from '@godwit/protocol/trust/encoding'
import { ed25519Only, type Key, keyIdOf, verifyThreshold } from '@godwit/protocol/trust/metadata'
import { describe, expect, test } from 'vitest'

const document = { _type: 'note', version: 1 }
const message = canonicalBytes(document)
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()

function ecKey(namedCurve: string, scheme: string, hash: string) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
  const key: Key = { keytype: 'ecdsa', scheme, keyval: { public: pem(publicKey) } }
  return { key, sig: toHex(sign(hash, message, privateKey)) }
}

function rsaKey(modulusLength: number) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength })
  const key: Key = { keytype: 'rsa', scheme: 'rsassa-pss-sha256', keyval: { public: pem(publicKey) } }
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const [short, long] = [32, constants.RSA_PSS_SALTLEN_MAX_SIGN].map((saltLength) =>
    toHex(sign('sha256', message, { key: privateKey, padding, saltLength })),
  )
  return { key, sig: short!, longSaltSig: long! }
}

function verdict(key: Key, sig: string, signed: unknown = document, policy = foreignKeys) {
  const keyid = keyIdOf(key)
  const envelope = { signed, signatures: [{ keyid, sig }] }
  return verifyThreshold(envelope, { [keyid]: key }, { keyids: [keyid], threshold: 1 }, policy).trusted
}

const p256 = ecKey('prime256v1', 'ecdsa-sha2-nistp256', 'sha256')
const p384 = ecKey('secp384r1', 'ecdsa-sha2-nistp384', 'sha384')
const rsa = rsaKey(2048)

describe('keys of other repositories', () => {
  test.each([
    ['ECDSA P-256', p256.key, p256.sig],
    ['ECDSA P-384', p384.key, p384.sig],
    ['RSA-PSS, salt of 32', rsa.key, rsa.sig],
    ['RSA-PSS, longest salt', rsa.key, rsa.longSaltSig],
  ])('%s signs a document, no other document, and nothing for our own fleets', (_, key, sig) => {
    expect(verdict(key, sig)).toBe(true)
    expect(verdict(key, sig, { ...document, version: 2 })).toBe(false)
    expect(verdict(key, `${sig.slice(0, -2)}00`)).toBe(false)
    expect(verdict(key, '')).toBe(false)
    expect(verdict(key, sig, document, ed25519Only)).toBe(false)
  })

  test('a key that does not fit its scheme, a short RSA key and rubbish are no keys', () => {
    const short = rsaKey(1024)
    expect(verdict(short.key, short.sig)).toBe(false)
    expect(verdict({ ...p256.key, scheme: 'ecdsa-sha2-nistp384' }, p256.sig)).toBe(false)
    expect(verdict({ ...rsa.key, keyval: { public: 'rubbish' } }, rsa.sig)).toBe(false)
  })

  test('one key in two spellings counts once', () => {
    const spelled = { ...p256.key, keyval: { public: `${p256.key.keyval.public}\n` } }
    const known = Object.fromEntries([p256.key, spelled].map((key) => [keyIdOf(key), key]))
    const signatures = Object.keys(known).map((keyid) => ({ keyid, sig: p256.sig }))
    const role = { keyids: Object.keys(known), threshold: 2 }
    expect(verifyThreshold({ signed: document, signatures }, known, role, foreignKeys)).toMatchObject({
      because: 'bad-signature',
    })
  })
})
