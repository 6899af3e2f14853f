import { sha256Hex } from '@godwit/protocol/release/blocks'
import { type Release, targetPathOf } from '@godwit/protocol/release/release'
import { ed25519Only, keyIdOf } from '@godwit/protocol/trust/key'
import { openMetadata, type Targets } from '@godwit/protocol/trust/metadata'
import { packBundle } from '../bundle.ts'
import { nextTargets, signedBytes } from '../ceremony.ts'
import type { HubClient } from '../client.ts'
import type { Noun, Shell } from '../command.ts'
import { CliError } from '../exit.ts'
import { type OpenedKey, passphraseFrom, unlockKey } from '../keys.ts'
import { table } from '../output.ts'
import { versionOf } from './device.ts'

type Listed = {
  version: string
  releaseDigest: string
  releaseCounter: number
  listed: boolean
  createdAt: string
  devices?: number
}
type PublishOptions = { key: string[]; note?: string; parent?: string; passphraseFile?: string }

export const versionNoun: Noun = (program, run) => {
  const version = program.command('version').description('versions of a model')
  version
    .command('publish')
    .description('pack a bundle directory, upload it, sign it as a release')
    .argument(
      '<directory>',
      'holds model.onnx, golden.json, pipeline.json; optionally profile.json, README.md, bundle.yaml',
    )
    .argument('<model@version>', 'what it is published as')
    .requiredOption('--key <file...>', 'key files of publishers, as many as the targets role asks for')
    .option('--note <text>', 'what is new')
    .option('--parent <version>', 'version that this one was made from')
    .option('--passphrase-file <file>', "read the keys' passphrase from a file")
    .action(run(publish))
  version
    .command('list')
    .argument('<model>')
    .action(
      run(async (shell, model: string) => {
        const found = await shell
          .hub()
          .get<{ versions: Listed[] }>(`/api/v1/models/${encodeURIComponent(model)}`)
        shell.out.print(found.versions, () =>
          table(
            ['VERSION', 'STATE', 'COUNTER', 'DIGEST', 'CREATED'],
            found.versions.map((v) => [
              v.version,
              v.listed ? 'released' : 'uploaded',
              v.releaseCounter,
              v.releaseDigest.slice(0, 12),
              v.createdAt,
            ]),
            `no versions of ${model}`,
          ),
        )
      }),
    )
  version
    .command('show')
    .argument('<model>')
    .argument('<version>')
    .action(
      run(async (shell, model: string, name: string) => {
        const found = await shell
          .hub()
          .get<{ release: Release }>(
            `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(name)}`,
          )
        shell.out.print(found, () => JSON.stringify(found, undefined, 2))
      }),
    )
  version
    .command('revoke')
    .description('stop listing a version: no device may install it from then on')
    .argument('<model>')
    .argument('<version>')
    .requiredOption('--key <file...>', 'key files of publishers')
    .option('--passphrase-file <file>', "read the keys' passphrase from a file")
    .action(
      run(async (shell, model: string, name: string, options: { key: string[]; passphraseFile?: string }) => {
        const hub = shell.hub()
        const keys = await unlockAll(shell, options)
        const signed = await signTargets(hub, keys, { [targetPathOf(model, name)]: undefined }, shell.now())
        shell.out.print(
          { model, version: name, listed: false, targets: signed },
          () => `${model} ${name} is no longer listed (targets ${signed})`,
        )
      }),
    )
}

async function publish(
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

async function unlockAll(
  shell: Shell,
  options: { key: string[]; passphraseFile?: string },
): Promise<OpenedKey[]> {
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
