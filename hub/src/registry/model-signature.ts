import type { Release } from '@godwit/protocol/release/release'
import { openBundle } from '../oms/bundle.ts'
import { inTotoPayloadType } from '../oms/dsse.ts'
import { hintOfClaim } from '../oms/key-claim.ts'
import { openStatement, rootOf } from '../oms/statement.ts'

/** An OpenSSF model signature that belongs to a version, kept for those who verify with tools of their own. */
export type ModelSignature = {
  sha256: string
  sizeBytes: number
  /** Names the key: hex SHA-256 of its PEM. Nobody here has vouched for it. */
  hint: string
  root: string
  addedAt: number
  addedBy: string
}

/** Bytes. The manifest of a bundle with ten thousand files is about this long. */
export const signatureBytesMax = 4 * 2 ** 20
/** k of n signers are k signatures; more than this is no threshold but a nuisance. */
export const signaturesMax = 16

/**
 * Is this a signature over the files of this release? Whether its key is to be believed is the question of whoever
 * verifies it; a hub that answered it would only be believed in its turn.
 *
 * Files beyond the release's may be signed too: a signature that came with a model covers its whole directory.
 */
export function readModelSignature(
  bytes: Uint8Array,
  release: Release,
): { ok: true; hint: string; root: string } | { ok: false; because: string; detail: string } {
  const opened = openBundle(bytes)
  if (!opened.ok) return opened
  const { claim, payload, payloadType } = opened.value
  const hint = hintOfClaim(claim)
  if (hint === undefined)
    return refused('key_untrusted', 'signed with a certificate; this hub keeps signatures by keys')
  if (payloadType !== inTotoPayloadType)
    return refused('payload_type_unsupported', `expected ${inTotoPayloadType}, found ${payloadType}`)
  const statement = openStatement(payload)
  if (!statement.ok) return statement
  const { resources, root } = statement.value
  const signed = new Map(resources.map((resource) => [resource.name, resource]))
  for (const [path, { sha256 }] of Object.entries(release.files)) {
    const resource = signed.get(path)
    if (!resource) return refused('file_missing', `${path} is a file of the release and was not signed`)
    if (resource.algorithm !== 'sha256' || resource.digest.toLowerCase() !== sha256)
      return refused('digest_mismatch', `${path}: the release has sha256 ${sha256}, signed was another file`)
  }
  if (rootOf(resources) !== root)
    return refused('root_mismatch', `the statement is about another root than its files make`)
  return { ok: true, hint, root }
}

function refused(because: string, detail: string) {
  return { ok: false, because, detail } as const
}
