import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { verify } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { type Signature, verifyThreshold, withSignature } from '@godwit/protocol/trust/envelope'
import {
  ed25519Only,
  type Key,
  type RoleKeys,
  type Root,
  type Targets,
} from '@godwit/protocol/trust/metadata'
import { digestOf, nameOf, type TrustDocument } from './documents.ts'
import { CliError } from './exit.ts'
import { readJson } from './public-keys.ts'

const format = 'godwit-signature/1'

/** What comes back from a machine where a key lives: signatures, and what they are over. */
export type SignatureFile = {
  format: typeof format
  document: string
  sha256: string
  signatures: Signature[]
}

export function signatureFile(document: Root | Targets, signatures: Signature[]): SignatureFile {
  return { format, document: nameOf(document), sha256: digestOf(document), signatures }
}

export function readSignatureFile(path: string, document: Root | Targets): Signature[] {
  const found = readJson(path) as Partial<SignatureFile> | null
  if (found?.format !== format || !Array.isArray(found.signatures) || !found.signatures.every(isSignature))
    throw new CliError(
      'failure',
      'signature_malformed',
      `${path}: expected a file as godwit sign makes, ${format}`,
    )
  if (found.sha256 !== digestOf(document))
    throw new CliError(
      'verification',
      'signature_for_other',
      `${path}: expected a signature over ${nameOf(document)} (${digestOf(document)}), found one over ${found.document} (${found.sha256})`,
    )
  return found.signatures
}

/** Whose signatures a document needs. A root after the first needs two thresholds: the old one and its own. */
export type Authority = { name: string; keys: Record<string, Key>; role: RoleKeys }

/** Puts signatures made elsewhere into the document; each must be by a key that counts, and must verify. */
export function assembled(
  { envelope }: TrustDocument,
  signatures: readonly { from: string; signature: Signature }[],
  authorities: readonly Authority[],
): TrustDocument['envelope'] {
  const message = canonicalBytes(envelope.signed)
  let whole = envelope
  for (const { from, signature } of signatures) {
    const { keyid, sig } = signature
    const key = authorities.find(({ role }) => role.keyids.includes(keyid))?.keys[keyid]
    if (!key)
      throw new CliError(
        'verification',
        'signer_unknown',
        `${from}: key ${keyid} may not sign ${nameOf(envelope.signed)}; expected one of ${idsOf(authorities)}`,
      )
    const bytes = fromHex(sig)
    if (!bytes || !verify(fromHex(key.keyval.public)!, message, bytes))
      throw new CliError(
        'verification',
        'signature_invalid',
        `${from}: the signature by ${keyid} does not verify`,
      )
    whole = withSignature(whole, signature)
  }
  return whole
}

/** One sentence for each threshold that is not reached; none: the document is ready for the hub. */
export function missingSignatures(
  envelope: TrustDocument['envelope'],
  authorities: readonly Authority[],
): string[] {
  return authorities.flatMap(({ name, keys, role }) => {
    const met = verifyThreshold(envelope, keys, role, ed25519Only)
    return met.trusted ? [] : [`${name}: ${met.detail}`]
  })
}

function idsOf(authorities: readonly Authority[]): string {
  return [...new Set(authorities.flatMap(({ role }) => role.keyids))].join(', ')
}

function isSignature(value: unknown): value is Signature {
  const { keyid, sig } = (value ?? {}) as Partial<Signature>
  return typeof keyid === 'string' && typeof sig === 'string'
}
