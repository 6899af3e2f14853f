import type { KeyObject } from 'node:crypto'
import { type KeyClaim, openBundle } from './bundle.ts'
import { inTotoPayloadType, preAuthEncoding } from './dsse.ts'
import { ecPublicKey, ecVerify, hintOf } from './ec-key.ts'
import { hintOfClaim } from './key-claim.ts'
import { defaultIgnored, digestOf, listModel } from './model-files.ts'
import { type OmsRefused, type OmsVerdict, omsAccept, omsRefuse } from './refusal.ts'
import { openStatement, rootOf, type Statement } from './statement.ts'

export type VerifyOptions = {
  /** Paths from the top of the model that nobody signed, besides those that the signature itself leaves out. */
  ignore?: readonly string[]
  /** Files beyond the signed ones are no reason to refuse. Links are. */
  ignoreUnsignedFiles?: boolean
}
export type VerifiedModel = { hint: string; root: string; files: string[]; ignored: string[] }

/**
 * Did one of these keys sign exactly this model? In the order of the refusals in refusal.ts.
 *
 * @param trustedKeys EC public keys, or their PEM; a key inside the bundle is never one of them
 */
export async function verifyOmsBundle(
  model: string,
  bundle: Uint8Array,
  trustedKeys: readonly (KeyObject | string)[],
  options: VerifyOptions = {},
): Promise<OmsVerdict<VerifiedModel>> {
  const opened = openBundle(bundle)
  if (!opened.ok) return opened
  const { claim, payload, payloadType, signature } = opened.value
  const keys = trustedKeys.map((key) => (typeof key === 'string' ? ecPublicKey(key) : key))
  const hint = hintOfClaim(claim)
  const key = keys.find((one) => hintOf(one) === hint)
  if (!key || hint === undefined) return omsRefuse('key_untrusted', whyUntrusted(claim, hint))
  if (!ecVerify(key, preAuthEncoding(payloadType, payload), signature))
    return omsRefuse('signature_invalid', `the signature is not one by key ${hint} over this payload`)
  if (payloadType !== inTotoPayloadType)
    return omsRefuse('payload_type_unsupported', `expected ${inTotoPayloadType}, found ${payloadType}`)
  const statement = openStatement(payload)
  if (!statement.ok) return statement
  const ignored = [...defaultIgnored, ...statement.value.ignorePaths, ...(options.ignore ?? [])]
  const { resources, root } = statement.value
  const flaw = await flawOfFiles(model, statement.value, ignored, options)
  if (flaw) return flaw
  const found = rootOf(resources)
  if (found !== root)
    return omsRefuse('root_mismatch', `the statement is about root ${root}, its files make ${found}`)
  return omsAccept({ hint, root, files: resources.map(({ name }) => name), ignored })
}

async function flawOfFiles(
  model: string,
  { resources }: Statement,
  ignored: readonly string[],
  { ignoreUnsignedFiles = false }: VerifyOptions,
): Promise<OmsRefused | undefined> {
  const { files, links, strange } = await listModel(model, ignored)
  const named = new Map(resources.map((resource) => [resource.name, resource]))
  for (const name of named.keys()) {
    if (links.includes(name)) return omsRefuse('symlink_refused', `${name} is a symbolic link`)
    if (!files.has(name)) return omsRefuse('file_missing', `${name} was signed and is not there`)
  }
  for (const [name, { digest, algorithm }] of named) {
    const found = await digestOf(files.get(name)!, algorithm)
    if (found !== digest.toLowerCase())
      return omsRefuse('digest_mismatch', `${name}: expected ${algorithm} ${digest}, found ${found}`)
  }
  const unsigned = [...files.keys(), ...strange].find((name) => !named.has(name))
  if (unsigned !== undefined && !ignoreUnsignedFiles)
    return omsRefuse('unsigned_file', `${JSON.stringify(unsigned)} is there and was not signed`)
  if (links.length > 0) return omsRefuse('symlink_refused', `${links[0]} is a symbolic link`)
  return undefined
}

function whyUntrusted(claim: KeyClaim, hint: string | undefined): string {
  if ('certificate' in claim) return 'signed with a certificate; only keys that were given are trusted'
  return `signed with key ${hint ?? '(unreadable)'}, which is none of the keys given`
}
