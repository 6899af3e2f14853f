import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { Fault } from '@godwit/protocol/fault'

/** The curves of OpenSSF Model Signing, each with the hash that belongs to it. Its tools refuse every other key. */
const hashByCurve: Readonly<Record<string, string>> = {
  prime256v1: 'sha256',
  secp384r1: 'sha384',
  secp521r1: 'sha512',
}

/** @throws Fault `key-unsuitable` when the text is no such key, is encrypted and the passphrase does not open it */
export function ecPrivateKey(pem: string, passphrase?: string): KeyObject {
  return suited(
    () => createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) }),
    'private',
  )
}

/** Text before the PEM block is skipped, as openssl and certtool write it there. A private key is refused. */
export function ecPublicKey(pem: string): KeyObject {
  if (pem.includes('PRIVATE KEY')) {
    throw new Fault('key-unsuitable', 'expected a public key, found a private one: do not hand that around')
  }
  return suited(() => createPublicKey(pem), 'public')
}

function suited(read: () => KeyObject, kind: 'private' | 'public'): KeyObject {
  let key: KeyObject
  try {
    key = read()
  } catch (cause) {
    throw new Fault('key-unsuitable', `no readable ${kind} key in PEM: ${(cause as Error).message}`, {
      cause,
    })
  }
  if (hashOf(key)) return key
  const found = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType
  throw new Fault('key-unsuitable', `expected an EC key on P-256, P-384 or P-521, found ${found}`)
}

/** SubjectPublicKeyInfo in PEM, 64 columns, with a line end: exactly the bytes that the hint is made over. */
export function publicPemOf(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ type: 'spki', format: 'pem' }) as string
}

/** How a bundle names its key: hex SHA-256 of the public key's PEM text. */
export function hintOf(key: KeyObject): string {
  return createHash('sha256').update(publicPemOf(key)).digest('hex')
}

/** DER, as every OMS signature in the wild is. */
export function ecSign(key: KeyObject, message: Uint8Array): Uint8Array {
  return sign(hashOf(key)!, message, { key, dsaEncoding: 'der' })
}

export function ecVerify(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return verify(hashOf(key)!, message, { key, dsaEncoding: 'der' }, signature)
}

function hashOf(key: KeyObject): string | undefined {
  return key.asymmetricKeyType === 'ec' ? hashByCurve[key.asymmetricKeyDetails?.namedCurve ?? ''] : undefined
}
