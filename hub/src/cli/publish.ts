import type { KeyObject } from 'node:crypto'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { type Release, targetPathOf } from '@godwit/protocol/release/release'
import { isDelegated } from '@godwit/protocol/trust/delegation'
import type { TargetFile } from '@godwit/protocol/trust/metadata'
import { packBundle } from './bundle.ts'
import { nextTargets } from './ceremony.ts'
import type { HubClient } from './client.ts'
import type { Shell } from './command.ts'
import { type Listing, listingAtHub, signedOnly } from './current-trust.ts'
import { nameOf, readBytes, writeDocument } from './documents.ts'
import { CliError } from './exit.ts'
import { isSignerGiven, openSigners, type Signer, type SignerOptions, signedBytes } from './signers.ts'
import { versionOf } from './version-name.ts'

export type Listed = {
  version: string
  releaseDigest: string
  releaseCounter: number
  listed: boolean
  createdAt: string
  devices?: number
}
export type ReleaseOptions = SignerOptions & {
  /** A team that the targets delegate to; absent: the top-level targets. */
  role?: string
  /** A root that this person trusts already. */
  root?: string
  /** Write the next targets unsigned instead of signing them here. */
  prepare?: string
}
export type PublishOptions = ReleaseOptions & {
  note?: string
  parent?: string
  /** Devices without a link may install it so long after their metadata has expired. */
  maxStalenessDays?: number
  /** Public keys of an OpenSSF model signature that must have come with the directory. */
  requireOms?: string[]
  omsSignature?: string
  /** EC private key: the release gets an OpenSSF model signature of its own. */
  omsKey?: string
  omsPassphraseFile?: string
}
const dayMs = 86_400_000

/** `signedBy` is empty when the document was only prepared. */
export type Signing = { document: string; version: number; signedBy: string[]; prepared?: string }

/** Takes a version off the list. */
export async function revoke(
  shell: Shell,
  model: string,
  version: string,
  options: ReleaseOptions,
): Promise<Signing> {
  const path = targetPathOf(model, version)
  const signing = await beginSigning(shell, path, options)
  return finishSigning(shell, signing, { [path]: undefined }, options)
}

export async function publish(
  shell: Shell,
  directory: string,
  what: string,
  options: PublishOptions,
): Promise<void> {
  const { model, version } = versionOf(what)
  await checkOms(directory, options)
  const omsKey = options.omsKey === undefined ? undefined : await openOmsKey(shell, options.omsKey, options)
  const hub = shell.hub()
  const known = await hub.get<{ versions: Listed[] }>(`/api/v1/models/${encodeURIComponent(model)}`)
  const existing = known.versions.find((v) => v.version === version)
  const releaseCounter =
    existing?.releaseCounter ?? 1 + Math.max(0, ...known.versions.map((v) => v.releaseCounter))
  const packed = await packBundle(directory, {
    model,
    version,
    releaseCounter,
    now: existing && !existing.listed ? await startOf(hub, model, version) : shell.now(),
    ...(options.note === undefined ? {} : { note: options.note }),
    ...(options.parent === undefined ? {} : { parent: options.parent }),
  })
  // Keys before the upload: a wrong passphrase, or too few keys, must not leave half a release behind.
  const path = targetPathOf(model, version)
  const signing = await beginSigning(shell, path, options)
  for (const file of packed.files) {
    const path = `/api/v1/blobs/sha256/${file.sha256}`
    if (await hub.exists(`/blobs/sha256/${file.sha256}`)) continue
    shell.out.note(`uploading ${file.path}`)
    await hub.sendFile(path, file.absolute)
  }
  await hub.sendBytes('POST', '/api/v1/versions', packed.bytes, 'application/json')
  const modelSignatures = await attachSignatures(hub, packed.release, omsKey, options.omsSignature)
  const releaseDigest = sha256Hex(packed.bytes)
  const target = {
    length: packed.bytes.length,
    hashes: { sha256: releaseDigest },
    custom: {
      ...{ kind: 'godwit-release/1', model, version, releaseCounter },
      ...(options.maxStalenessDays !== undefined && { maxStalenessMs: options.maxStalenessDays * dayMs }),
    },
  }
  const signed = await finishSigning(shell, signing, { [path]: target }, options)
  const { version: targets, signedBy, prepared } = signed
  const answer = {
    model,
    version,
    releaseDigest,
    releaseCounter,
    targets,
    signedBy,
    modelSignatures,
    ...(prepared && { prepared }),
  }
  const named = `${model} ${version} (${releaseDigest.slice(0, 12)})`
  shell.out.print(answer, () =>
    prepared
      ? `uploaded ${named}; ${signed.document} is written to ${prepared}, unsigned.\nNext: godwit sign ${prepared} --key KEY --out NAME.sig.json, then godwit trust assemble, then godwit trust push`
      : `released ${named}, signed by ${signedBy.length} key(s)`,
  )
}

/** Before anything else: what was changed since its makers signed it must not even be read as a model. */
async function checkOms(directory: string, { requireOms, omsSignature }: PublishOptions): Promise<void> {
  if (requireOms === undefined && omsSignature === undefined) return
  if (requireOms === undefined || omsSignature === undefined)
    throw new CliError('usage', 'oms_incomplete', '--require-oms and --oms-signature belong together')
  const { proved } = await import('./oms.ts')
  await proved(directory, { key: requireOms, signature: omsSignature })
}

/** Asked for before anything is uploaded, as the other keys are. */
async function openOmsKey(shell: Shell, path: string, { omsPassphraseFile }: PublishOptions) {
  const { openKey } = await import('./oms.ts')
  return openKey(shell, path, omsPassphraseFile === undefined ? {} : { passphraseFile: omsPassphraseFile })
}

/** Before the targets list the version: whoever sees it released finds its signatures there. */
async function attachSignatures(
  hub: HubClient,
  release: Release,
  omsKey: KeyObject | undefined,
  cameWith: string | undefined,
): Promise<{ hint: string; root: string }[]> {
  const { model, version, files } = release
  const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/signatures`
  const documents = cameWith === undefined ? [] : [readBytes(cameWith)]
  if (omsKey) {
    const { signDigests } = await import('../oms/sign.ts')
    const digests = new Map(Object.entries(files).map(([file, { sha256 }]) => [file, sha256]))
    documents.push(signDigests(`${model}-${version}`, digests, omsKey).bytes)
  }
  const attached = []
  for (const bytes of documents)
    attached.push(
      await hub.sendBytes<{ hint: string; root: string }>('POST', path, bytes, 'application/json'),
    )
  return attached.map(({ hint, root }) => ({ hint, root }))
}

/**
 * When a publish began that never got as far as its signature. Under the same time the same files make the same
 * release again, which the hub knows; under another one they would be a second release by the same name.
 */
async function startOf(hub: HubClient, model: string, version: string): Promise<number> {
  const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`
  const { release } = await hub.get<{ release: Release }>(path)
  return Date.parse(release.createdAt)
}

type Begun = { listing: Listing; signers: readonly Signer[] }

/** Everything that can go wrong before anything is changed: whose list it is, and whether these keys are enough. */
async function beginSigning(shell: Shell, path: string, options: ReleaseOptions): Promise<Begun> {
  const { role: team, root, prepare } = options
  if (prepare !== undefined && isSignerGiven(options))
    throw new CliError('usage', 'key_unused', '--prepare signs nothing', 'leave out --key and --signer-cmd')
  const signers = prepare === undefined ? await openSigners(shell, options) : []
  const where = { ...(team !== undefined && { team }), ...(root !== undefined && { root }) }
  const listing = await listingAtHub(shell.hub(), where, shell.now())
  const { name, role, delegated } = listing.signatory
  signedOnly(listing)
  if (delegated && !isDelegated(delegated, path))
    throw new CliError(
      'verification',
      'outside_prefix',
      `${name} may release ${delegated.paths?.join(', ')}, expected one of these, found ${path}`,
    )
  const able = signers.filter(({ keyid }) => role.keyids.includes(keyid)).length
  if (prepare === undefined && able < role.threshold)
    throw new CliError(
      'verification',
      'threshold_not_met',
      `${name} needs ${role.threshold} signatures by keys of ${role.keyids.join(', ')}; of the ${signers.length} given, ${able} may sign`,
      'give more keys, or --prepare FILE and sign it on the machines where they are',
    )
  return { listing, signers }
}

/** Signs the next targets and hands them in, or writes them for others to sign. */
async function finishSigning(
  shell: Shell,
  { listing, signers }: Begun,
  change: Record<string, TargetFile | undefined>,
  { role: team, prepare }: ReleaseOptions,
): Promise<Signing> {
  const next = nextTargets(listing.document, change, shell.now())
  const done = { document: nameOf(next), version: next.version, signedBy: signers.map(({ keyid }) => keyid) }
  if (prepare !== undefined) {
    writeDocument(prepare, { signed: next, signatures: [] })
    return { ...done, prepared: prepare }
  }
  const path =
    team === undefined ? '/api/v1/metadata/targets' : `/api/v1/metadata/teams/${encodeURIComponent(team)}`
  await shell.hub().sendBytes('PUT', path, await signedBytes(next, signers), 'application/json')
  return done
}
