import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { KeyMemory } from './key-memory.ts'
import type { Primitives } from './primitives.ts'

/** RFC 8410: the DER in front of a raw 32-byte Ed25519 seed (PKCS #8) and public key (SPKI). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

// Making a key object costs more than signing with it, and a hub signs for thousands of devices with one key.
const privateKey = new KeyMemory<KeyObject>(4, (seed32) =>
  createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed32]), format: 'der', type: 'pkcs8' }),
)
const publicKey = new KeyMemory<KeyObject>(16, (key32) =>
  createPublicKey({ key: Buffer.concat([spkiPrefix, key32]), format: 'der', type: 'spki' }),
)

/** A plain Uint8Array of its own memory: a pooled Buffer would share it with strangers. */
function plain(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes)
}

export const sha256: Primitives['sha256'] = (bytes) => plain(createHash('sha256').update(bytes).digest())

export const sha512: Primitives['sha512'] = (bytes) => plain(createHash('sha512').update(bytes).digest())

export const ed25519Verify: Primitives['ed25519Verify'] = (key32, message, signature) =>
  verify(null, message, publicKey.of(key32), signature)

export const ed25519Sign: Primitives['ed25519Sign'] = (seed32, message) =>
  plain(sign(null, message, privateKey.of(seed32)))

export const ed25519PublicKey: Primitives['ed25519PublicKey'] = (seed32) => {
  const der = createPublicKey(privateKey.of(seed32)).export({ format: 'der', type: 'spki' })
  return plain(der.subarray(spkiPrefix.length))
}
