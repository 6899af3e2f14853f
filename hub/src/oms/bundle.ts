import { defineDocument } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import Type from 'typebox'
import { fromAnyBase64, inTotoPayloadType, toBase64 } from './dsse.ts'
import { type OmsVerdict, omsAccept, omsRefuse } from './refusal.ts'

const mediaTypePrefix = 'application/vnd.dev.sigstore.bundle'
export const bundleMediaType = `${mediaTypePrefix}.v0.3+json`
/** A manifest of 100,000 files is about this long. */
export const bundleBytesMax = 32 * 1_048_576

/** Sigstore's bundle, as far as a signature with a key needs it. What else is in it says nothing to us. */
const bundleDocument = defineDocument(
  'bundle',
  Type.Object({
    mediaType: Type.String({ pattern: `^${mediaTypePrefix.replaceAll('.', '\\.')}` }),
    verificationMaterial: Type.Object({
      publicKey: Type.Optional(
        Type.Object({
          hint: Type.Optional(Type.String({ minLength: 1, maxLength: 1_024 })),
          /** Before version 1.1: the key itself. It says which key to look for, and is never the key we trust. */
          rawBytes: Type.Optional(Type.String({ minLength: 1, maxLength: 4_096 })),
        }),
      ),
      certificate: Type.Optional(Type.Unknown()),
      x509CertificateChain: Type.Optional(Type.Unknown()),
    }),
    dsseEnvelope: Type.Object({
      payload: Type.String(),
      payloadType: Type.String({ maxLength: 1_024 }),
      signatures: Type.Array(Type.Object({ sig: Type.String({ minLength: 1, maxLength: 1_024 }) })),
    }),
  }),
)

export type KeyClaim = { hint: string } | { rawBytes: Uint8Array } | { certificate: true }
/** The outside of a bundle, read and not believed. */
export type OpenBundle = {
  claim: KeyClaim
  payload: Uint8Array
  payloadType: string
  signature: Uint8Array
}

export function encodeBundle(statement: Uint8Array, signature: Uint8Array, hint: string): Uint8Array {
  const bundle = {
    mediaType: bundleMediaType,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: {
      payload: toBase64(statement),
      payloadType: inTotoPayloadType,
      // Sigstore asks for the same hint in both places; OMS verifiers do not look at this one.
      signatures: [{ sig: toBase64(signature), keyid: hint }],
    },
  }
  return utf8(`${JSON.stringify(bundle)}\n`)
}

export function openBundle(bytes: Uint8Array): OmsVerdict<OpenBundle> {
  const malformed = (detail: string) => omsRefuse('bundle_malformed', detail)
  if (bytes.length > bundleBytesMax)
    return malformed(`bundle: ${bytes.length} bytes, at most ${bundleBytesMax}`)
  const parsed = parseStrict(bytes)
  const read = parsed.ok ? bundleDocument.check(parsed.value) : parsed
  if (!read.ok) return malformed(read.detail)
  const { verificationMaterial, dsseEnvelope } = read.value
  const { signatures, payloadType } = dsseEnvelope
  // More than one would leave open which of them was meant; k of n is k bundles.
  if (signatures.length !== 1)
    return malformed(`bundle: expected exactly one signature, found ${signatures.length}`)
  const payload = fromAnyBase64(dsseEnvelope.payload)
  const signature = fromAnyBase64(signatures[0]!.sig)
  if (!payload || !signature) return malformed('bundle: payload and sig must be base64')
  const claim = claimOf(verificationMaterial)
  if (!claim) return malformed('bundle: its verification material names no key')
  return omsAccept({ claim, payload, payloadType, signature })
}

function claimOf(material: {
  publicKey?: { hint?: string; rawBytes?: string }
  certificate?: unknown
  x509CertificateChain?: unknown
}): KeyClaim | undefined {
  const { publicKey, certificate, x509CertificateChain } = material
  if (publicKey?.hint !== undefined) return { hint: publicKey.hint }
  const rawBytes = publicKey?.rawBytes === undefined ? undefined : fromAnyBase64(publicKey.rawBytes)
  if (rawBytes) return { rawBytes }
  return certificate === undefined && x509CertificateChain === undefined ? undefined : { certificate: true }
}
