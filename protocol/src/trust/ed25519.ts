import { ed25519PublicKey, ed25519Sign, ed25519Verify } from '#crypto'
import { Fault } from '../fault.ts'

export const seedBytes = 32
export const publicKeyBytes = 32
export const signatureBytes = 64

/** The order of the base point, L = 2^252 + 27742317777372353535851937790883648493 (RFC 8032 §5.1). */
const groupOrder = (1n << 252n) + 27742317777372353535851937790883648493n
/** The field prime, p = 2^255 - 19. */
const fieldPrime = (1n << 255n) - 19n

/**
 * y coordinates of the points whose order divides 8. A signature under such a key says nothing about the
 * message: tweetnacl was seen to accept an all-zero key with an all-zero signature for every second message.
 */
const smallOrderY = new Set([
  0n,
  1n,
  fieldPrime - 1n,
  2707385501144840649318225287225658788936804267575313519463743609750303402022n,
  55188659117513257062467267217118295137698188065244968500265048394206261417927n,
])

type CurveCheck = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/**
 * Does `signature` prove that the holder of `publicKey` saw `message`? Never throws.
 *
 * Stricter than either library, so that both agree on every input: exact lengths; a canonical key of large
 * order; s < L, without which a signature can be rewritten into a second valid one (RFC 8032 §5.1.7 and 8.4).
 *
 * @param curve the bare equation, an argument so that tests can ask both libraries
 */
export function verify(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  curve: CurveCheck = ed25519Verify,
): boolean {
  try {
    if (publicKey.length !== publicKeyBytes || signature.length !== signatureBytes) return false
    if (!isSoundPublicKey(publicKey)) return false
    if (littleEndian(signature.subarray(32)) >= groupOrder) return false
    return curve(publicKey, message, signature)
  } catch {
    return false
  }
}

/** @param seed 32 bytes, the private key of RFC 8032 §5.1.5 */
export function sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
  requireSeed(seed)
  return ed25519Sign(seed, message)
}

export function publicKeyOf(seed: Uint8Array): Uint8Array {
  requireSeed(seed)
  return ed25519PublicKey(seed)
}

/** 32 bytes, y < p, and not one of the eight points of small order. */
export function isSoundPublicKey(publicKey: Uint8Array): boolean {
  if (publicKey.length !== publicKeyBytes) return false
  const y = littleEndian(publicKey) & ((1n << 255n) - 1n)
  return y < fieldPrime && !smallOrderY.has(y)
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
  return value
}

function requireSeed(seed: Uint8Array): void {
  if (seed.length === seedBytes) return
  throw new Fault('bad-key', `an Ed25519 seed has ${seedBytes} bytes, this one has ${seed.length}`)
}
