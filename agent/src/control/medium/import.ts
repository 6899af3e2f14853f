import {
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import type { Directive } from '@godwit/protocol/messages/directive'
import { blockRange, sha256Hex } from '@godwit/protocol/release/blocks'
import { mediumDirectories, mediumLayout, releasesIn } from '@godwit/protocol/release/medium'
import { type BundleFile, mistakesOf, release as releaseDocument } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/strict-json'
import { fromRfc3339 } from '@godwit/protocol/units'
import { TrustedTime } from '../clock.ts'
import { diskFreeBytes, syncDirectory, writeDurably } from '../files.ts'
import { readEnrolment } from '../identity.ts'
import { type Paths, pathsIn } from '../paths.ts'
import { Trust } from '../trust/trust.ts'
import { hearMetadata } from './metadata.ts'
import { openPlainFile, readStick, type Stick } from './stick.ts'

export type Imported = {
  deviceId: string
  /** Version of this device's directive on the stick; null when it has none, or none that is news. */
  directiveVersion: number | null
  releases: { model: string; version: string; releaseDigest: string }[]
  copiedBytes: number
}

type Listed = Imported['releases'][number] & { files: BundleFile[] }

/** Must remain free, for the spool and everybody else. */
const watermarkBytes = 16 * 2 ** 20

/**
 * Takes from a stick what this device may believe, and lays it where the agent finds it: at once when it runs, at its
 * next start when not. The check here is the agent's own, on a copy of what it believes, so that the person who holds
 * the stick hears what is wrong with it; the agent itself checks everything once more and trusts nobody's word.
 *
 * @throws Fault `medium-refused` with the reason; then nothing was changed
 */
export async function importMedium(
  directory: string,
  paths: Paths,
  world: { wallMs: () => number; floorMs: number },
): Promise<Imported> {
  const enrolment = readEnrolment(paths)
  if (!enrolment)
    throw new Fault('not-enrolled', `${paths.root} belongs to no fleet yet, so it knows nobody to believe`)
  const { fleet, deviceId } = enrolment
  // Before the copy of what this device believes, which a full disk would not take either.
  requireRoom(paths, 0)
  const stick = readStick(directory, deviceId)
  const floor = Math.max(world.floorMs, fromRfc3339(enrolment.time))
  const aside = mkdtempSync(join(tmpdir(), 'godwit-import-'))
  try {
    const time = new TrustedTime({ wallMs: world.wallMs, monotonicMs: () => 0 }, floor, () => {})
    const trust = copyOfTrust(paths, aside, { fleet, deviceId }, time, Buffer.from(enrolment.root, 'base64'))
    hearMetadata(trust, fleet, stick.metadata)
    await refresh(trust)
    const directive = await directiveOf(trust, stick)
    const listed = await releasesOf(trust, stick, directive)
    const copiedBytes = copy(stick, paths, listed)
    return {
      deviceId,
      directiveVersion: directive?.version ?? null,
      releases: listed.map(({ model, version, releaseDigest }) => ({ model, version, releaseDigest })),
      copiedBytes,
    }
  } finally {
    rmSync(aside, { recursive: true, force: true })
  }
}

/** What this device believes, in a place of its own: finding out must not change it. */
function copyOfTrust(
  paths: Paths,
  aside: string,
  names: { fleet: string; deviceId: string },
  time: TrustedTime,
  pinnedRoot: Uint8Array,
): Trust {
  // A device that has only just joined holds neither.
  for (const from of [paths.trust, paths.directive].filter((path) => existsSync(path)))
    cpSync(from, join(aside, from.slice(paths.root.length)), { recursive: true, force: true })
  return new Trust({ paths: pathsIn(aside), names, time, pinnedRoot: new Uint8Array(pinnedRoot) })
}

async function refresh(trust: Trust): Promise<void> {
  const refreshed = await trust.refresh().catch((cause) => {
    throw new Fault('medium-refused', 'the trust metadata on the stick is not complete', { cause })
  })
  if (refreshed.trusted) return
  // Late for a link, and in time for a release whose publishers gave it a grace.
  const held = refreshed.because === 'expired' ? await trust.resume() : refreshed
  if (held.trusted) return
  const hint = refreshed.because === 'expired' ? ": is this device's clock right?" : ''
  throw new Fault('medium-refused', `metadata: ${refreshed.detail} (${refreshed.because})${hint}`)
}

async function directiveOf(trust: Trust, { directive }: Stick): Promise<Directive | undefined> {
  if (!directive) return undefined
  const taken = await trust.takeDirective(directive)
  if (!taken.trusted) throw new Fault('medium-refused', `directive: ${taken.detail} (${taken.because})`)
  return taken.value.directive
}

/** What the directive wants, or all that the index points to when it brings none; each proved by the metadata. */
async function releasesOf(trust: Trust, stick: Stick, directive: Directive | undefined): Promise<Listed[]> {
  const wanted = directive ? Object.values(directive.slots) : stick.index ? releasesIn(stick.index) : []
  const found = new Map<string, Listed>()
  for (const { model, version, releaseDigest } of wanted) {
    // A directive may want what this device holds already, or gets another way.
    if (!stick.blobs.has(releaseDigest)) continue
    const listed = await trust.listed(model, version)
    if (!listed.trusted)
      throw new Fault('medium-refused', `${model} ${version}: ${listed.detail} (${listed.because})`)
    if (listed.value.releaseDigest !== releaseDigest)
      throw new Fault('medium-refused', `${model} ${version}: the publishers do not list ${releaseDigest}`)
    const path = stick.blobPath(releaseDigest)
    const document = {
      sha256: releaseDigest,
      sizeBytes: listed.value.releaseBytes,
      blockBytes: listed.value.releaseBytes,
    }
    const files = filesIn(readWhole(path, { ...document, blocks: [releaseDigest] }), path)
    found.set(releaseDigest, {
      ...{ model, version, releaseDigest },
      files: [
        { ...document, blocks: [releaseDigest] },
        ...files.filter(({ sha256 }) => stick.blobs.has(sha256)),
      ],
    })
  }
  return [...found.values()]
}

function filesIn(bytes: Buffer, path: string): BundleFile[] {
  const parsed = parseStrict(bytes)
  const read = parsed.ok ? releaseDocument.check(parsed.value) : parsed
  const flaw = read.ok ? mistakesOf(read.value).join('; ') : read.detail
  if (!read.ok || flaw) throw new Fault('medium-refused', `${path}: ${flaw}`)
  return Object.values(read.value.files)
}

function readWhole(path: string, file: BundleFile): Buffer {
  const parts: Buffer[] = []
  eachBlock(path, file, (bytes) => parts.push(Buffer.from(bytes)))
  return Buffer.concat(parts)
}

/** Hands over each block after its digest was checked: a file may be endless, or change while it is read. */
function eachBlock(path: string, file: BundleFile, use: (bytes: Buffer) => void): void {
  const handle = openPlainFile(path)
  try {
    const { size } = fstatSync(handle)
    if (size !== file.sizeBytes)
      throw new Fault('medium-refused', `${path} has ${size} bytes, its release names ${file.sizeBytes}`)
    const buffer = Buffer.alloc(file.blockBytes)
    for (const [index, digest] of file.blocks.entries()) {
      const { offset, length } = blockRange(file, index)
      const block = buffer.subarray(0, length)
      const count = readSync(handle, block, 0, length, offset)
      if (count < length || sha256Hex(block) !== digest)
        throw new Fault('medium-refused', `${path}: block ${index} has the wrong digest`)
      use(block)
    }
  } finally {
    closeSync(handle)
  }
}

/** Aside first, renamed when whole: the agent never sees half a stick. */
function copy(stick: Stick, paths: Paths, listed: readonly Listed[]): number {
  const files = [...new Map(listed.flatMap((one) => one.files.map((file) => [file.sha256, file]))).values()]
  const copiedBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  requireRoom(paths, copiedBytes)
  const final = join(paths.root, 'medium')
  const aside = `${final}.tmp`
  rmSync(aside, { recursive: true, force: true })
  try {
    for (const [name, bytes] of stick.metadata) writeDurably(join(aside, mediumLayout.metadata, name), bytes)
    if (stick.directive) writeDurably(join(aside, 'directive.json'), stick.directive)
    for (const file of files)
      copyBlob(stick.blobPath(file.sha256), join(aside, mediumLayout.blobs, file.sha256), file)
    // The names too: a power cut after "imported" must find every blob.
    for (const below of ['', ...mediumDirectories].map((name) => join(aside, name)))
      if (existsSync(below)) syncDirectory(below)
    rmSync(final, { recursive: true, force: true })
    renameSync(aside, final)
    syncDirectory(paths.root)
  } catch (error) {
    rmSync(aside, { recursive: true, force: true })
    throw error
  }
  return copiedBytes
}

/** Twice: here, and where the agent installs it. @param copiedBytes of the stick, as far as they are known */
function requireRoom({ root }: Paths, copiedBytes: number): void {
  const free = diskFreeBytes(root)
  const needed = 2 * copiedBytes + watermarkBytes
  if (free >= needed) return
  const what = copiedBytes > 0 ? `twice the ${copiedBytes} of this stick and` : 'whatever the stick brings,'
  throw new Fault(
    'no-space',
    `${needed} bytes are needed below ${root}, and ${free} are free (${what} ${watermarkBytes} that must stay free)`,
  )
}

/** Each block is checked before it is written; the copy is on the disk when this returns. */
export function copyBlob(from: string, to: string, file: BundleFile): void {
  mkdirSync(dirname(to), { recursive: true })
  const handle = openSync(to, 'wx')
  try {
    eachBlock(from, file, (bytes) => {
      for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at)
    })
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
