import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import {
  directiveBytesMax,
  rootBytesMax,
  snapshotBytesMax,
  targetsBytesMax,
  timestampBytesMax,
} from '@godwit/protocol/limits'
import {
  mediumDirectories,
  mediumIndexBytesMax,
  mediumLayout,
  mediumNames,
} from '@godwit/protocol/release/medium'

/** More names than this is no stick of ours: every root since the first, and every release of a large fleet. */
const namesMax = 10_000

/** Of all metadata together, which is read into memory: a sparse file costs its maker nothing. */
const metadataBytesInAllMax = 32 * 2 ** 20

/** What lies on a stick, by name. Nothing of it is believed, and no content but small documents has been read. */
export type Stick = {
  directory: string
  index: Buffer | undefined
  /** By file name. */
  metadata: ReadonlyMap<string, Buffer>
  directive: Buffer | undefined
  blobs: ReadonlySet<string>
  blobPath: (sha256: string) => string
}

/**
 * Looks at every name before it opens any. A stick comes from hands that we do not know: links may lead anywhere, a FIFO
 * would hold us for ever, a device node does worse when it is read. So the first strange thing ends the import.
 *
 * @throws Fault `medium-refused`, naming what does not belong there
 */
export function readStick(directory: string, deviceId: string): Stick {
  const names = { count: 0 }
  const listed = new Map(
    Object.entries(mediumNames).map(([below, pattern]) => [below, namesIn(directory, below, pattern, names)]),
  )
  let roomBytes = metadataBytesInAllMax
  const metadata = new Map(
    listed.get(mediumLayout.metadata)!.map((name) => {
      const path = join(directory, mediumLayout.metadata, name)
      const bytes = readSmall(path, Math.min(metadataBytesMax(name), roomBytes))
      roomBytes -= bytes.length
      return [name, bytes]
    }),
  )
  const directiveName = `${deviceId}.json`
  const hasDirective = listed.get(mediumLayout.directives)!.includes(directiveName)
  const hasIndex = listed.get('')!.includes(mediumLayout.index)
  return {
    directory,
    index: hasIndex ? readSmall(join(directory, mediumLayout.index), mediumIndexBytesMax) : undefined,
    metadata,
    directive: hasDirective
      ? readSmall(join(directory, mediumLayout.directives, directiveName), directiveBytesMax)
      : undefined,
    blobs: new Set(listed.get(mediumLayout.blobs)),
    blobPath: (sha256) => join(directory, mediumLayout.blobs, sha256),
  }
}

function namesIn(root: string, below: string, pattern: RegExp, names: { count: number }): string[] {
  const directory = join(root, below)
  let found: string[]
  try {
    found = readdirSync(directory)
  } catch (cause) {
    if (below !== '' && (cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new Fault('medium-refused', `cannot read the directory ${directory}`, { cause })
  }
  for (const name of found) {
    const path = below === '' ? name : `${below}/${name}`
    if (++names.count > namesMax) throw refused(path, `is one of more than ${namesMax} names`)
    if (!pattern.test(name)) throw refused(path, 'does not belong on a stick of this kind')
    const isDirectory = mediumDirectories.has(path)
    const kind = kindOf(join(root, path))
    const expected = isDirectory ? 'a directory' : 'a file'
    if (kind !== expected) throw refused(path, `is ${kind}, expected ${expected}`)
  }
  return found.filter((name) => !mediumDirectories.has(below === '' ? name : `${below}/${name}`))
}

function kindOf(path: string): string {
  const found = lstatSync(path)
  if (found.isFile()) return 'a file'
  if (found.isDirectory()) return 'a directory'
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isFIFO()) return 'a FIFO'
  if (found.isSocket()) return 'a socket'
  return 'a device'
}

/** Never through a link and never waiting, even when the name was exchanged since we looked at it. */
export function openPlainFile(path: string): number {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  if (fstatSync(file).isFile()) return file
  closeSync(file)
  throw refused(path, 'is no plain file')
}

export function readSmall(path: string, bytesMax: number): Buffer {
  const file = openPlainFile(path)
  try {
    const { size } = fstatSync(file)
    if (size > bytesMax) throw refused(path, `has ${size} bytes, at most ${bytesMax} expected`)
    const bytes = Buffer.alloc(size)
    let filled = 0
    while (filled < size) {
      const count = readSync(file, bytes, filled, size - filled, filled)
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  } finally {
    closeSync(file)
  }
}

function metadataBytesMax(name: string): number {
  const role = /^(?:\d+\.)?(.+)\.json$/.exec(name)?.[1]
  if (role === 'root') return rootBytesMax
  if (role === 'timestamp') return timestampBytesMax
  return role === 'snapshot' ? snapshotBytesMax : targetsBytesMax
}

function refused(path: string, what: string): Fault {
  return new Fault('medium-refused', `${path} ${what}`)
}
