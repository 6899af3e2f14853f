import { createHash } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { directive as directiveDocument } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { mediumFormat, mediumLayout, releasesIn } from '@godwit/protocol/release/medium'
import { type Release, release } from '@godwit/protocol/release/release'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { parseStrict } from '@godwit/protocol/trust/strict-json'
import { toRfc3339 } from '@godwit/protocol/units'
import type { HubClient } from './client.ts'
import type { Shell } from './command.ts'
import { fetchMetadata, type SignedForMedium } from './download.ts'
import { CliError } from './exit.ts'
import { versionOf } from './version-name.ts'

export type ExportOptions = { out: string; device?: string[]; validDays?: string }

type Medium = SignedForMedium & { validUntil: string; directives: Record<string, string> }

/**
 * Writes what a device without a link needs. Nothing is secret and nothing need be believed: the device checks all of it
 * as if it had come over the wire. Several exports into one directory share their blobs; the metadata is the newest.
 */
export async function exportBundle(
  shell: Shell,
  what: string,
  { out, device: devices = [], validDays = '7' }: ExportOptions,
): Promise<void> {
  const { model, version } = versionOf(what)
  const directory = resolve(out)
  const hub = shell.hub()
  const validForMs = millisecondsOf(validDays)
  const at = (name: string) => join(directory, name)
  for (const name of [mediumLayout.blobs, mediumLayout.directives]) await mkdir(at(name), { recursive: true })
  const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`
  const { releaseDigest } = await hub.get<{ releaseDigest: string }>(path)
  const bytes = await hub.bytes(`/blobs/sha256/${releaseDigest}`)
  const read = readRelease(bytes)
  if (sha256Hex(bytes) !== releaseDigest || !read)
    throw new CliError(
      'verification',
      'release_malformed',
      `the hub's release of ${model} ${version} is damaged`,
    )
  for (const { sha256 } of Object.values(read.files)) await fetchBlob(hub, sha256, at(mediumLayout.blobs))
  await writeFile(join(at(mediumLayout.blobs), releaseDigest), bytes)
  const medium = await hub.send<Medium>('POST', '/api/v1/medium', { validForMs, deviceIds: devices })
  const { validUntil } = medium
  const missing = await writeDirectives(
    medium.directives,
    devices,
    releaseDigest,
    at(mediumLayout.directives),
  )
  // Last and as a whole, so that it fits everything that lies here: a later release is listed by later metadata only.
  const aside = at(`${mediumLayout.metadata}.part`)
  await rm(aside, { recursive: true, force: true })
  await fetchMetadata(hub, aside, medium)
  await rm(at(mediumLayout.metadata), { recursive: true, force: true })
  await rename(aside, at(mediumLayout.metadata))
  const releases = await writeIndex(shell, at(mediumLayout.index), { model, version, releaseDigest })
  const sizeBytes = Object.values(read.files).reduce((sum, file) => sum + file.sizeBytes, bytes.length)
  shell.out.print(
    {
      directory,
      model,
      version,
      releaseDigest,
      sizeBytes,
      devices,
      otherGoal: missing,
      releases,
      validUntil,
    },
    () =>
      [
        `${out}: ${model} ${version}, ${sizeBytes} bytes${devices.length > 0 ? `, with directives for ${devices.join(', ')}` : ''}`,
        `devices take it until ${validUntil}`,
        ...missing.map(
          (id) => `note: the directive of ${id} does not ask for this release (godwit device set)`,
        ),
        `on the device: godwit-agent import ${out} --config agent.yaml`,
      ].join('\n'),
  )
}

function millisecondsOf(days: string): number {
  const ms = Math.round(Number(days) * 86_400_000)
  if (ms >= 60_000) return ms
  throw new CliError('usage', 'days_malformed', `--valid-days ${days}: expected a number of days`)
}

/** A stick is cheap and slow: what it holds already is not written again. */
async function fetchBlob(hub: HubClient, sha256: string, directory: string): Promise<void> {
  const final = join(directory, sha256)
  if (existsSync(final) && sha256Hex(await readFile(final)) === sha256) return
  const aside = `${final}.part`
  const hash = createHash('sha256')
  try {
    const source = await hub.stream(`/blobs/sha256/${sha256}`)
    source.on('data', (chunk: Buffer) => hash.update(chunk))
    await pipeline(source, createWriteStream(aside))
    const found = hash.digest('hex')
    if (found !== sha256)
      throw new CliError('verification', 'digest_mismatch', `expected blob ${sha256}, the hub sent ${found}`)
    await rename(aside, final)
  } finally {
    await rm(aside, { force: true })
  }
}

/** Returns the devices whose directive names another release: the stick would change nothing there. */
async function writeDirectives(
  directives: Readonly<Record<string, string>>,
  devices: readonly string[],
  releaseDigest: string,
  directory: string,
): Promise<string[]> {
  const otherwise: string[] = []
  for (const id of devices) {
    const envelope = directives[id] ?? ''
    const parsed = parseStrict(utf8(envelope))
    const read = directiveDocument.check(
      parsed.ok ? (parsed.value as { signed?: unknown }).signed : undefined,
    )
    if (!read.ok || read.value.deviceId !== id)
      throw new CliError('verification', 'directive_malformed', `the hub's directive for ${id} is damaged`)
    if (!Object.values(read.value.slots).some((goal) => goal.releaseDigest === releaseDigest))
      otherwise.push(id)
    await writeFile(join(directory, `${id}.json`), envelope)
  }
  return otherwise
}

async function writeIndex(
  shell: Shell,
  path: string,
  added: { model: string; version: string; releaseDigest: string },
): Promise<object[]> {
  const known = existsSync(path) ? releasesIn(await readFile(path)) : []
  const releases = [...known.filter((one) => one.releaseDigest !== added.releaseDigest), added]
  const index = { format: mediumFormat, writtenAt: toRfc3339(shell.now()), releases }
  await writeFile(path, `${JSON.stringify(index, undefined, 2)}\n`)
  return releases
}

function readRelease(bytes: Uint8Array): Release | undefined {
  const parsed = parseStrict(bytes)
  const read = parsed.ok ? release.check(parsed.value) : parsed
  return read.ok ? read.value : undefined
}
