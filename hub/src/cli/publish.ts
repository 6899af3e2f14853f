import { sha256Hex } from '@godwit/protocol/release/blocks'
import { targetPathOf } from '@godwit/protocol/release/release'
import { ed25519Only, keyIdOf } from '@godwit/protocol/trust/key'
import { openMetadata, type Targets } from '@godwit/protocol/trust/metadata'
import { packBundle } from './bundle.ts'
import { nextTargets, signedBytes } from './ceremony.ts'
import type { HubClient } from './client.ts'
import type { Shell } from './command.ts'
import { versionOf } from './commands/device.ts'
import { CliError } from './exit.ts'
import { type OpenedKey, passphraseFrom, unlockKey } from './keys.ts'

export type Listed = {
  version: string
  releaseDigest: string
  releaseCounter: number
  listed: boolean
  createdAt: string
  devices?: number
}
export type KeyOptions = { key: string[]; passphraseFile?: string }
export type PublishOptions = { key: string[]; note?: string; parent?: string; passphraseFile?: string }

/** Takes a version off the list; answers the version of the targets that no longer name it. */
export async function revoke(
  shell: Shell,
  model: string,
  version: string,
  options: KeyOptions,
): Promise<number> {
  const keys = await unlockAll(shell, options)
  return signTargets(shell.hub(), keys, { [targetPathOf(model, version)]: undefined }, shell.now())
}

export async function publish(
  shell: Shell,
  directory: string,
  what: string,
  options: PublishOptions,
): Promise<void> {
  const { model, version } = versionOf(what)
  const hub = shell.hub()
  const known = await hub.get<{ versions: Listed[] }>(`/api/v1/models/${encodeURIComponent(model)}`)
  const existing = known.versions.find((v) => v.version === version)
  const releaseCounter =
    existing?.releaseCounter ?? 1 + Math.max(0, ...known.versions.map((v) => v.releaseCounter))
  const packed = await packBundle(directory, {
    model,
    version,
    releaseCounter,
    now: shell.now(),
    ...(options.note === undefined ? {} : { note: options.note }),
    ...(options.parent === undefined ? {} : { parent: options.parent }),
  })
  // Keys before the upload: a wrong passphrase must not leave half a release behind.
  const keys = await unlockAll(shell, options)
  for (const file of packed.files) {
    const path = `/api/v1/blobs/sha256/${file.sha256}`
    if (await hub.exists(`/blobs/sha256/${file.sha256}`)) continue
    shell.out.note(`uploading ${file.path}`)
    await hub.sendFile(path, file.absolute)
  }
  await hub.sendBytes('POST', '/api/v1/versions', packed.bytes, 'application/json')
  const releaseDigest = sha256Hex(packed.bytes)
  const target = {
    length: packed.bytes.length,
    hashes: { sha256: releaseDigest },
    custom: { kind: 'godwit-release/1', model, version, releaseCounter },
  }
  const targets = await signTargets(hub, keys, { [targetPathOf(model, version)]: target }, shell.now())
  const answer = {
    model,
    version,
    releaseDigest,
    releaseCounter,
    targets,
    signedBy: keys.map((k) => k.keyid),
  }
  shell.out.print(
    answer,
    () => `released ${model} ${version} (${releaseDigest.slice(0, 12)}), signed by ${keys.length} key(s)`,
  )
}

/** Fetches the current targets, checks that these keys may sign the next, and hands it in. */
async function signTargets(
  hub: HubClient,
  keys: OpenedKey[],
  change: Parameters<typeof nextTargets>[1],
  now: number,
): Promise<number> {
  const current = openMetadata(await hub.bytes('/api/v1/metadata/targets'), 'targets', ed25519Only)
  if (!current.trusted)
    throw new CliError('verification', 'targets_malformed', `the hub's targets: ${current.detail}`)
  const next: Targets = nextTargets(current.value.signed, change, now)
  await hub.sendBytes('PUT', '/api/v1/metadata/targets', signedBytes(next, keys), 'application/json')
  return next.version
}

async function unlockAll(shell: Shell, options: KeyOptions): Promise<OpenedKey[]> {
  const passphrase = await passphraseFrom(options, shell.environment, {
    purpose: 'the publisher keys',
    tty: shell.tty,
  })
  const keys: OpenedKey[] = []
  for (const path of options.key) keys.push(await unlockKey(path, passphrase))
  const ids = keys.map((k) => keyIdOf(k.key))
  if (new Set(ids).size !== ids.length)
    throw new CliError(
      'usage',
      'key_twice',
      'the same key was given twice',
      'a threshold counts different keys',
    )
  return keys
}
