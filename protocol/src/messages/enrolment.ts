import Type, { type Static } from 'typebox'
import { defineDocument, Rfc3339, recordOf, Segment, Sha256Hex } from '../schema.ts'

const Hex = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${bytes * 2}}$` })
export const Labels = recordOf(
  Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
  Type.String({ maxLength: 128 }),
)

/** What a device sends to join (SPEC 3.2). `proof` shows that it holds the private half of `publicKey`. */
export const EnrolmentRequest = Type.Object({
  token: Type.String({ minLength: 16, maxLength: 256 }),
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
  time: Rfc3339,
})
export type EnrolmentAnswer = Static<typeof EnrolmentAnswer>
export const enrolmentAnswer = defineDocument('enrolment answer', EnrolmentAnswer)

/** The text an operator hands to a device: where the hub is, a one-time secret, and which root to trust. */
export const JoinTicket = Type.Object({
  url: Type.String({ maxLength: 512 }),
  secret: Type.String({ minLength: 16, maxLength: 256 }),
  rootSha256: Sha256Hex,
  /** The name the operator chose; a device asks for it. Absent: the hub gives one. */
  deviceId: Type.Optional(Segment),
})
export type JoinTicket = Static<typeof JoinTicket>
const joinTicket = defineDocument('join token', JoinTicket)

const ticketPrefix = 'gwj1_'

export function formatJoinToken(ticket: JoinTicket): string {
  return ticketPrefix + toBase64Url(new TextEncoder().encode(JSON.stringify(ticket)))
}

/** Undefined when the text is no join token; the caller names the text's source in its error. */
export function parseJoinToken(text: string): JoinTicket | undefined {
  if (!text.startsWith(ticketPrefix)) return undefined
  try {
    const read = joinTicket.check(
      JSON.parse(new TextDecoder().decode(fromBase64Url(text.slice(ticketPrefix.length)))),
    )
    return read.ok ? read.value : undefined
  } catch {
    return undefined
  }
}

/** The context word keeps an enrolment proof from being any other signed document of the device. */
export function enrolmentProofBytes(request: Omit<EnrolmentRequest, 'proof'>): Uint8Array {
  const parts = ['godwit-enrolment/1', request.token, request.publicKey, request.deviceId ?? '']
  return new TextEncoder().encode(parts.join('\n'))
}

function toBase64Url(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function fromBase64Url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
}
