import Type, { type Static } from 'typebox'
import { defineDocument, EpochMs, Segment, Sha256Hex } from '../schema.ts'
import { publicKeyOf } from '../trust/ed25519.ts'
import { toHex } from '../trust/encoding.ts'
import { encodeEnvelope, signatureOver } from '../trust/envelope.ts'
import { keyIdOf, keyOfSeed } from '../trust/key.ts'
import type { EpochMs as EpochMsType } from '../units.ts'

/**
 * A device takes another key. Both keys sign the same document: the old one says who comes after it, the new one that
 * it is in the device's hands and not somebody else's public key.
 */
export const KeyRotation = Type.Object(
  {
    _type: Type.Literal('key-rotation'),
    specVersion: Type.Literal(1),
    fleet: Segment,
    deviceId: Segment,
    /** Key id of the key that goes. A recorded rotation says nothing once that key is gone. */
    previousKeyid: Sha256Hex,
    /** 64 hex digits. */
    publicKey: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    issuedAt: EpochMs,
  },
  { additionalProperties: false },
)
export type KeyRotation = Static<typeof KeyRotation>
export const keyRotation = defineDocument('key rotation', KeyRotation)

/** The signed document as it travels. */
export function sealKeyRotation(
  about: { fleet: string; deviceId: string; issuedAt: EpochMsType },
  oldSeed: Uint8Array,
  newSeed: Uint8Array,
): Uint8Array {
  const previous = keyOfSeed(oldSeed)
  const signed: KeyRotation = {
    _type: 'key-rotation',
    specVersion: 1,
    ...about,
    previousKeyid: keyIdOf(previous),
    publicKey: toHex(publicKeyOf(newSeed)),
  }
  const signatures = [
    signatureOver(signed, oldSeed, previous),
    signatureOver(signed, newSeed, keyOfSeed(newSeed)),
  ]
  return encodeEnvelope({ signed, signatures })
}
