import { createHash } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { blockRange } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import { syncDirectory } from '../files.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'

/** Bytes written before they are forced to the disk and their rows marked; what a power cut may cost. */
const syncBytes = 1_048_576

/** Which blocks of a blob are on the disk for certain. */
export function blocksHeld(database: Database, blob: string): Set<number> {
  const rows = database.all('SELECT position FROM block WHERE blob = ?', blob)
  return new Set(rows.map((row) => row['position'] as number))
}

export function forgetBlocks(database: Database, blob: string): void {
  database.run('DELETE FROM block WHERE blob = ?', blob)
}

/** A blob on its way: preallocated, written block by block, journalled after `fdatasync`. */
export class PartFile {
  readonly #file: BundleFile
  readonly #database: Database
  readonly #handle: Awaited<ReturnType<typeof open>>
  #unsynced: number[] = []
  #unsyncedBytes = 0

  private constructor(file: BundleFile, database: Database, handle: Awaited<ReturnType<typeof open>>) {
    this.#file = file
    this.#database = database
    this.#handle = handle
  }

  /** Continues where the journal says; a part file that is gone or of the wrong size makes the journal void. */
  static async open(paths: Paths, file: BundleFile, database: Database): Promise<PartFile> {
    const path = paths.part(file.sha256)
    mkdirSync(dirname(path), { recursive: true })
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    )
    if (size === file.sizeBytes) return new PartFile(file, database, await open(path, 'r+'))
    forgetBlocks(database, file.sha256)
    const handle = await open(path, 'w+', 0o644)
    try {
      await handle.truncate(file.sizeBytes)
    } catch (error) {
      await handle.close()
      throw error
    }
    return new PartFile(file, database, handle)
  }

  /** Takes the place of a block before anybody pays for its bytes: a disk that is full says so here, each time for free. */
  async claim(index: number): Promise<void> {
    const { offset, length } = blockRange(this.#file, index)
    await this.#handle.write(Buffer.alloc(length), 0, length, offset)
  }

  /** The caller has checked the block's digest. */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    await this.#handle.write(bytes, 0, bytes.length, index * this.#file.blockBytes)
    this.#unsynced.push(index)
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes >= syncBytes) await this.flush()
  }

  /** Disk first, journal second: a row must never promise bytes that a power cut can take back. */
  async flush(): Promise<void> {
    if (this.#unsynced.length === 0) return
    const blocks = this.#unsynced
    this.#unsynced = []
    this.#unsyncedBytes = 0
    // When this fails they are fetched again: the next sync would say that all is well, and be wrong (Linux forgets).
    await this.#handle.datasync()
    try {
      this.#database.transaction(() => {
        for (const index of blocks)
          this.#database.run('INSERT OR IGNORE INTO block VALUES (?, ?)', this.#file.sha256, index)
      })
    } catch (error) {
      this.#unsynced.unshift(...blocks)
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

export async function sha256OfFile(path: string): Promise<string | undefined> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (!handle) return undefined
  try {
    const hash = createHash('sha256')
    for await (const chunk of handle.createReadStream({ highWaterMark: 1_048_576, autoClose: false }))
      hash.update(chunk as Buffer)
    return hash.digest('hex')
  } finally {
    await handle.close()
  }
}

/**
 * The whole file is what the release names, under its final name: already, or now. False when it is not there or not
 * right; then nothing of it is kept, and its blocks are to be fetched again.
 */
export async function settleBlob(paths: Paths, file: BundleFile, database: Database): Promise<boolean> {
  if ((await sha256OfFile(paths.blob(file.sha256))) === file.sha256) return true
  const part = paths.part(file.sha256)
  const complete = blocksHeld(database, file.sha256).size === file.blocks.length
  if (complete && (await sha256OfFile(part)) === file.sha256) {
    await rename(part, paths.blob(file.sha256))
    syncDirectory(paths.blobs)
    forgetBlocks(database, file.sha256)
    return true
  }
  // Incomplete is no damage; complete and wrong is.
  if (complete) {
    rmSync(part, { force: true })
    forgetBlocks(database, file.sha256)
  }
  rmSync(paths.blob(file.sha256), { force: true })
  return false
}
