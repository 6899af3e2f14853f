import { utf8 } from '@godwit/protocol/trust/encoding'

export const inTotoPayloadType = 'application/vnd.in-toto+json'

/**
 * What a DSSE signature is made over: type and body with their lengths in bytes, so that no byte can move from one to
 * the other. `DSSEv1 SP len SP type SP len SP body`.
 */
export function preAuthEncoding(payloadType: string, body: Uint8Array): Uint8Array {
  const type = utf8(payloadType)
  return Buffer.concat([utf8(`DSSEv1 ${type.length} `), type, utf8(` ${body.length} `), body])
}

/** Standard and URL-safe, padded or not, as DSSE asks; anything else is no base64 rather than skipped over. */
export function fromAnyBase64(text: string): Uint8Array | undefined {
  const plain = text.replace(/={1,2}$/, '')
  if (plain.length % 4 === 1) return undefined
  if (!/^[A-Za-z0-9+/]*$/.test(plain) && !/^[A-Za-z0-9_-]*$/.test(plain)) return undefined
  return Uint8Array.from(Buffer.from(plain, 'base64'))
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
