import Type, { type Static } from 'typebox'
import { sha256 } from '#crypto'
import { defineDocument, Rfc3339, recordOf, Segment, Sha256Hex } from '../schema.ts'
import { fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../trust/encoding.ts'
import { parseStrict } from '../trust/strict-json.ts'

const Hex = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${bytes * 2}}$` })
export const Labels = recordOf(
  Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
  Type.String({ maxLength: 128 }),
)

/** What a device sends to join (SPEC 3.2). `proof` shows that it holds the private half of `publicKey`. */
export const EnrolmentRequest = Type.Object({
  /** Of a join token; absent: the key is registered already, or an operator will look at it. */
  token: Type.Optional(Type.String({ minLength: 16, maxLength: 256 })),
  publicKey: Hex(32),
  deviceId: Type.Optional(Segment),
  /** Signature over the bytes that `enrolmentProofBytes` builds. */
  proof: Hex(64),
})
export type EnrolmentRequest = Static<typeof EnrolmentRequest>
export const enrolmentRequest = defineDocument('enrolment request', EnrolmentRequest)

export const EnrolmentAnswer = Type.Object({
  fleet: Segment,
  deviceId: Segment,
  labels: Labels,
  mqttUrl: Type.String({ maxLength: 512 }),
  httpUrl: Type.String({ maxLength: 512 }),
  /** Base64 of the first root document of the fleet; its digest must be the one in the join token. */
  root: Type.String({ maxLength: 1_000_000 }),
  /** PEM of the hub's own certificate authority, if it has one (SPEC 3.9). */
  ca: Type.Optional(Type.String({ maxLength: 16_384 })),
  time: Rfc3339,
})
export type EnrolmentAnswer = Static<typeof EnrolmentAnswer>
export const enrolmentAnswer = defineDocument('enrolment answer', EnrolmentAnswer)

/** Nobody has let this key in yet. The device asks again after `retryAfterMs`, for as long as it takes. */
export const EnrolmentPending = Type.Object({
  pending: Type.Literal(true),
  fingerprint: Type.String({ maxLength: 64 }),
  retryAfterMs: Type.Integer({ minimum: 100, maximum: 3_600_000 }),
})
export type EnrolmentPending = Static<typeof EnrolmentPending>
export const enrolmentPending = defineDocument('pending enrolment', EnrolmentPending)

/**
 * What two people read to each other, one at the device and one at the hub: 128 bits of the key's SHA-256, in fours.
 *
 * @param publicKey 64 hexadecimal digits
 */
export function keyFingerprint(publicKey: string): string {
  const bytes = fromHex(publicKey)
  if (!bytes)
    throw new RangeError(`a public key has 64 hexadecimal digits, found ${publicKey.length} characters`)
  return toHex(sha256(bytes))
    .slice(0, 32)
    .replace(/(.{4})(?=.)/g, '$1 ')
}

/** The text an operator hands to a device: where the hub is, a one-time secret, and which root to trust. */
export const JoinTicket = Type.Object({
  url: Type.String({ maxLength: 512 }),
  secret: Type.String({ minLength: 16, maxLength: 256 }),
  rootSha256: Sha256Hex,
  /** Of the certificate (DER) of the hub's own authority: the device believes that one alone. Absent: public ones, or none. */
  caSha256: Type.Optional(Sha256Hex),
  /** The name the operator chose; a device asks for it. Absent: the hub gives one. */
  deviceId: Type.Optional(Segment),
})
export type JoinTicket = Static<typeof JoinTicket>
const joinTicket = defineDocument('join token', JoinTicket)

const ticketPrefix = 'gwj1_'

export function formatJoinToken(ticket: JoinTicket): string {
  return ticketPrefix + toBase64url(utf8(JSON.stringify(ticket)))
}

/** Undefined when the text is no join token; the caller names the text's source in its error. */
export function parseJoinToken(text: string): JoinTicket | undefined {
  const bytes = text.startsWith(ticketPrefix) ? fromBase64url(text.slice(ticketPrefix.length)) : undefined
  const parsed = bytes && parseStrict(bytes)
  const read = parsed?.ok ? joinTicket.check(parsed.value) : undefined
  return read?.ok ? read.value : undefined
}

/** The context word keeps an enrolment proof from being any other signed document of the device. */
export function enrolmentProofBytes(request: Omit<EnrolmentRequest, 'proof'>): Uint8Array {
  const parts = ['godwit-enrolment/1', request.token ?? '', request.publicKey, request.deviceId ?? '']
  return utf8(parts.join('\n'))
}
