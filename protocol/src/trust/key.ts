import Type, { type Static } from 'typebox'
import { sha256 } from '#crypto'
import { canonicalBytes } from './canonical.ts'
import { isSoundPublicKey, publicKeyOf, verify } from './ed25519.ts'
import { fromHex, toHex } from './encoding.ts'

/** TUF §4.2. Fields we do not know are kept, because the key id is computed over them too. */
export const Key = Type.Object({
  keytype: Type.String(),
  scheme: Type.String(),
  keyval: Type.Object({ public: Type.String() }),
})
export type Key = Static<typeof Key>

/** How one kind of key is checked. The registry in `KeyPolicy` is where other kinds plug in. */
export type Verifier = {
  /** One spelling per actual key, or undefined when it is none: the same key under two ids counts once. */
  material(key: Key): string | undefined
  verify(key: Key, message: Uint8Array, signature: Uint8Array): boolean
}

/** Which keys a fleet accepts. Godwit's own fleets: Ed25519 alone. */
export type KeyPolicy = {
  /** By `keytype/scheme`. A key of any other kind cannot contribute a signature. */
  readonly verifiers: ReadonlyMap<string, Verifier>
}

const ed25519Verifier: Verifier = {
  material(key) {
    const publicKey = fromHex(key.keyval.public)
    return publicKey && isSoundPublicKey(publicKey) ? `ed25519:${toHex(publicKey)}` : undefined
  },
  verify(key, message, signature) {
    const publicKey = fromHex(key.keyval.public)
    return publicKey !== undefined && verify(publicKey, message, signature)
  },
}

export const ed25519Kind = 'ed25519/ed25519'
export const ed25519Verifiers: ReadonlyMap<string, Verifier> = new Map([[ed25519Kind, ed25519Verifier]])
export const ed25519Only: KeyPolicy = { verifiers: ed25519Verifiers }

export function verifierOf(policy: KeyPolicy, key: Key): Verifier | undefined {
  return policy.verifiers.get(`${key.keytype}/${key.scheme}`)
}

/** Hex SHA-256 of the key's canonical form (TUF §4.2). */
export function keyIdOf(key: Key): string {
  return toHex(sha256(canonicalBytes(key)))
}

export function ed25519Key(publicKey: Uint8Array): Key {
  return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: toHex(publicKey) } }
}

export function keyOfSeed(seed: Uint8Array): Key {
  return ed25519Key(publicKeyOf(seed))
}
