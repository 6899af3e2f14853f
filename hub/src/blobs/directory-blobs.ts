import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import type { Blobs } from './blobs.ts'

const digestPattern = /^[0-9a-f]{64}$/

/**
 * Blobs as files `ab/ab12…`, in a directory of their own. A blob appears by rename, after its bytes are on disk and
 * hashed to its name, so a power cut leaves a stray temporary file and never half a blob.
 */
export async function openDirectoryBlobs(directory: string, sizeBytesMax: number): Promise<Blobs> {
  const incoming = join(directory, 'incoming')
  await mkdir(incoming, { recursive: true })
  // What a crash left; no upload can be running yet.
  for (const name of await readdir(incoming)) await rm(join(incoming, name), { force: true })

  /** The name is checked here and nowhere else, so no request can walk out of the directory. */
  function pathOf(sha256: string): string {
    if (!digestPattern.test(sha256)) {
      throw new Fault(
        'bad-digest',
        `a blob is named by 64 lower-case hex digits, found ${JSON.stringify(sha256)}`,
      )
    }
    return join(directory, sha256.slice(0, 2), sha256)
  }

  async function sizeOf(sha256: string): Promise<number | undefined> {
    try {
      return (await stat(pathOf(sha256))).size
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  async function readBlock(sha256: string, { offset, length }: { offset: number; length: number }) {
    let file: FileHandle
    try {
      file = await open(pathOf(sha256))
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
    try {
      if (offset < 0 || length < 0 || offset + length > (await file.stat()).size) return undefined
      const block = new Uint8Array(length)
      const { bytesRead } = await file.read(block, 0, length, offset)
      return bytesRead === length ? block : undefined
    } finally {
      await file.close()
    }
  }

  return {
    sizeOf,
    readBlock,

    async put(sha256, content) {
      const path = pathOf(sha256)
      const held = await sizeOf(sha256)
      const temporary = join(incoming, randomUUID())
      try {
        const sizeBytes = await writeVerified(temporary, sha256, content, sizeBytesMax)
        if (held !== undefined) return { created: false, sizeBytes }
        await mkdir(join(directory, sha256.slice(0, 2)), { recursive: true })
        await rename(temporary, path)
        await syncDirectory(join(directory, sha256.slice(0, 2)))
        await syncDirectory(directory)
        return { created: true, sizeBytes }
      } finally {
        await rm(temporary, { force: true })
      }
    },

    async get(sha256, range) {
      if ((await sizeOf(sha256)) === undefined) return undefined
      if (!range) return createReadStream(pathOf(sha256))
      return createReadStream(pathOf(sha256), { start: range.offset, end: range.offset + range.length - 1 })
    },

    async read(sha256, bytesMax) {
      const size = await sizeOf(sha256)
      if (size === undefined) return undefined
      if (size > bytesMax)
        throw new Fault('payload-too-large', `blob ${sha256} has ${size} bytes, at most ${bytesMax}`)
      return readBlock(sha256, { offset: 0, length: size })
    },
  }
}

/** The bytes are on disk, and are the ones that were promised, when this returns their number. */
async function writeVerified(
  path: string,
  sha256: string,
  content: AsyncIterable<Uint8Array>,
  sizeBytesMax: number,
): Promise<number> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  const file = await open(path, 'wx')
  try {
    for await (const chunk of content) {
      sizeBytes += chunk.length
      if (sizeBytes > sizeBytesMax) {
        throw new Fault(
          'payload-too-large',
          `blob ${sha256} is larger than the limit of ${sizeBytesMax} bytes`,
        )
      }
      hash.update(chunk)
      await file.appendFile(chunk)
    }
    await file.sync()
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'ENOSPC') throw cause
    throw new Fault('storage-full', `no space left for blob ${sha256}`, { cause })
  } finally {
    await file.close()
  }
  const found = hash.digest('hex')
  if (found !== sha256) {
    throw new Fault(
      'digest-mismatch',
      `expected a blob with SHA-256 ${sha256}, received ${sizeBytes} bytes with ${found}`,
    )
  }
  return sizeBytes
}

/** Without it the rename itself may be lost in a power cut. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function isAbsent(error: unknown): boolean {
  return (error as { code?: string }).code === 'ENOENT'
}
