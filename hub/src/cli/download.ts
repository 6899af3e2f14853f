import { createHash } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { rootRotationsMax } from '@godwit/protocol/limits'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { releaseLayout as layout } from '@godwit/protocol/release/directory'
import { release } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { fileNameOf } from '@godwit/protocol/trust/file-name'
import { ed25519Only, openMetadata } from '@godwit/protocol/trust/metadata'
import type { HubClient } from './client.ts'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { versionOf } from './version-name.ts'

/** Writes aside and renames, so that a directory of that name is always whole. */
export async function download(shell: Shell, what: string, directory: string): Promise<void> {
  const { model, version } = versionOf(what)
  const target = resolve(directory)
  if (existsSync(target))
    throw new CliError('conflict', 'directory_exists', `${directory} exists already`, 'choose another name')
  const aside = `${target}.part-${process.pid}`
  await mkdir(aside, { recursive: true })
  try {
    const releaseDigest = await fetchRelease(shell.hub(), model, version, aside)
    await fetchMetadata(shell.hub(), join(aside, layout.metadata))
    await rename(aside, target)
    shell.out.print({ model, version, releaseDigest, directory: target }, () =>
      [
        `${directory}: ${model} ${version} (${releaseDigest})`,
        `check it anywhere: godwit verify ${directory} --root 1.root.json`,
      ].join('\n'),
    )
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    throw error
  }
}

/** Digests are checked here only against damage on the way: whether to believe the hub is `verify`'s question. */
async function fetchRelease(
  hub: HubClient,
  model: string,
  version: string,
  directory: string,
): Promise<string> {
  const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`
  const { releaseDigest, signatures } = await hub.get<{
    releaseDigest: string
    signatures: { sha256: string; hint: string }[]
  }>(path)
  const bytes = await hub.bytes(`/blobs/sha256/${releaseDigest}`)
  const parsed = parseStrict(bytes)
  // Its schema bounds the paths, and they become file names here.
  const read = parsed.ok ? release.check(parsed.value) : parsed
  if (sha256Hex(bytes) !== releaseDigest || !read.ok)
    throw new CliError(
      'verification',
      'release_malformed',
      `the hub's release of ${model} ${version} is damaged`,
    )
  await writeFile(join(directory, layout.release), bytes)
  for (const [name, { sha256 }] of Object.entries(read.value.files)) {
    const file = join(directory, layout.files, name)
    await mkdir(dirname(file), { recursive: true })
    await pipeline(
      await hub.stream(`/blobs/sha256/${sha256}`),
      hashed(name, sha256),
      createWriteStream(file, { flags: 'wx' }),
    )
  }
  if (signatures.length > 0) await mkdir(join(directory, layout.signatures))
  for (const { sha256, hint } of signatures) {
    // The hint is what the signer wrote: any text. Ours and model_signing's are digests.
    const name = `${/^[0-9a-f]{16,64}$/.test(hint) ? hint.slice(0, 16) : 'other'}-${sha256.slice(0, 8)}.sig`
    await writeFile(join(directory, layout.signatures, name), await hub.bytes(`/blobs/sha256/${sha256}`))
  }
  return releaseDigest
}

function hashed(name: string, expected: string): Transform {
  const hash = createHash('sha256')
  return new Transform({
    transform(chunk, _, done) {
      hash.update(chunk as Buffer)
      done(null, chunk)
    },
    flush(done) {
      const found = hash.digest('hex')
      if (found === expected) return done()
      done(new CliError('verification', 'digest_mismatch', `${name}: expected ${expected}, found ${found}`))
    },
  })
}

/** What was signed for a stick, in the place of the current ones. */
export type SignedForMedium = { timestamp: string; snapshot: string }

/** Every root from the first on, and a timestamp with all that it leads to: the current one, where none is given. */
export async function fetchMetadata(
  hub: HubClient,
  directory: string,
  medium?: SignedForMedium,
): Promise<void> {
  await mkdir(directory)
  const keep = (fileName: string, bytes: Uint8Array) => writeFile(join(directory, fileName), bytes)
  for (let version = 1; version <= rootRotationsMax; version++) {
    const root = await bytesOrNone(hub, `/meta/${fileNameOf('root', version)}`)
    if (!root) break
    await keep(fileNameOf('root', version), root)
  }
  const timestampBytes = medium ? utf8(medium.timestamp) : await hub.bytes('/meta/timestamp.json')
  const timestamp = openMetadata(timestampBytes, 'timestamp', ed25519Only)
  if (!timestamp.trusted) throw damaged(timestamp.detail)
  const snapshotName = fileNameOf('snapshot', timestamp.value.signed.meta['snapshot.json'].version)
  const snapshotBytes = medium ? utf8(medium.snapshot) : await hub.bytes(`/meta/${snapshotName}`)
  const snapshot = openMetadata(snapshotBytes, 'snapshot', ed25519Only)
  if (!snapshot.trusted) throw damaged(snapshot.detail)
  await keep('timestamp.json', timestampBytes)
  await keep(snapshotName, snapshotBytes)
  for (const [name, { version }] of Object.entries(snapshot.value.signed.meta)) {
    const fileName = fileNameOf(name.replace(/\.json$/, ''), version)
    await keep(fileName, await hub.bytes(`/meta/${fileName}`))
  }
}

async function bytesOrNone(hub: HubClient, path: string): Promise<Uint8Array | undefined> {
  try {
    return await hub.bytes(path)
  } catch (error) {
    if (error instanceof CliError && error.exit === 'notFound') return undefined
    throw error
  }
}

function damaged(detail: string): CliError {
  return new CliError('verification', 'metadata_malformed', `the hub's metadata: ${detail}`)
}
