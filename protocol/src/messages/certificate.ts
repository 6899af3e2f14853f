import Type, { type Static } from 'typebox'
import { defineDocument, Rfc3339 } from '../schema.ts'

const Base64 = (maxLength: number) => Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$', maxLength })

/** SPEC 3.9. The key is one of P-256 for TLS alone; the key that the device signs with stays out of handshakes. */
export const CertificateRequest = Type.Object({
  /** Base64 of the SubjectPublicKeyInfo, DER. */
  publicKey: Base64(256),
  /** Base64 of an ECDSA signature with SHA-256, DER, by that key over `certificateProofBytes`. */
  proof: Base64(256),
})
export type CertificateRequest = Static<typeof CertificateRequest>

export const CertificateAnswer = Type.Object({
  /** PEM. Its common name is the device's id. */
  certificate: Type.String({ maxLength: 16_384 }),
  validTo: Rfc3339,
})
export type CertificateAnswer = Static<typeof CertificateAnswer>
export const certificateAnswer = defineDocument('certificate answer', CertificateAnswer)

/** The context word keeps the proof from being a handshake, and a handshake from being a proof. */
export function certificateProofBytes(about: {
  fleet: string
  deviceId: string
  publicKey: string
}): Uint8Array {
  const { fleet, deviceId, publicKey } = about
  return new TextEncoder().encode(['godwit-certificate/1', fleet, deviceId, publicKey].join('\n'))
}
