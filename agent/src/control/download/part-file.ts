import { createHash } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { blockRange, sha256Hex } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import type { Clock } from '../clock.ts'
import { syncDirectory } from '../files.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import { missingBlocks } from './plan.ts'

/**
 * Blocks are forced to the disk and journalled together: so many bytes at once, and none of them waits for this long when
 * the next one comes. A quarter of the blob, so that a power cut never costs all of a small one.
 */
const batchBytesMin = 262_144
const batchBytesMax = 2_097_152
const batchMs = 2_000
/** Behind the last block that was found there: farther ahead nobody writes (128 blocks of MQTT's). */
const recoverBytesMax = 8 * 1_048_576

/** Which blocks of a blob are on the disk for certain. */
export function blocksHeld(database: Database, blob: string): Set<number> {
  const rows = database.all('SELECT position FROM block WHERE blob = ?', blob)
  return new Set(rows.map((row) => row['position'] as number))
}

export function forgetBlocks(database: Database, blob: string): void {
  database.run('DELETE FROM block WHERE blob = ?', blob)
}

/** Verified blocks by position, which are not on the disk for certain. */
export type Unkept = ReadonlyMap<number, Uint8Array>

export type PartFileOptions = {
  clock: Pick<Clock, 'monotonicMs'>
  /** Of this blob, from the life before in this process. */
  unkept: Unkept | undefined
  /** False: an earlier process may have written more than it journalled. */
  isKnown: boolean
  /** Stored in the transaction that journals a batch, so that what the bytes cost shares their sync. */
  alongside: () => void
}

/**
 * A blob on its way: written block by block, so that a killed process leaves them all; forced to the disk and then
 * journalled in batches, while the next blocks come. What the disk does not take stays in memory and is written again.
 */
export class PartFile {
  /** On the disk, or in memory until it is. */
  readonly have: Set<number>
  readonly #file: BundleFile
  readonly #database: Database
  readonly #handle: FileHandle
  readonly #pending = new Map<number, Uint8Array>()
  readonly #unwritten = new Set<number>()
  readonly #options: PartFileOptions
  readonly #batchBytes: number
  #syncing: Promise<void> = Promise.resolve()
  #unsyncedBytes = 0
  #syncedMs: number

  private constructor(file: BundleFile, database: Database, handle: FileHandle, options: PartFileOptions) {
    this.#file = file
    this.#database = database
    this.#handle = handle
    this.#options = options
    this.#batchBytes = Math.min(batchBytesMax, Math.max(batchBytesMin, file.sizeBytes / 4))
    this.#syncedMs = options.clock.monotonicMs()
    this.have = blocksHeld(database, file.sha256)
  }

  /** Continues where the journal says; a part file that is gone or of the wrong size makes the journal void. */
  static async open(
    paths: Paths,
    file: BundleFile,
    database: Database,
    options: PartFileOptions,
  ): Promise<PartFile> {
    const path = paths.part(file.sha256)
    mkdirSync(dirname(path), { recursive: true })
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    )
    const isThere = size === file.sizeBytes
    if (!isThere) forgetBlocks(database, file.sha256)
    const handle = await open(path, isThere ? 'r+' : 'w+', 0o644)
    try {
      if (!isThere) await handle.truncate(file.sizeBytes)
      const part = new PartFile(file, database, handle, options)
      for (const [index, bytes] of options.unkept ?? []) part.#hold(index, bytes)
      if (isThere && !options.isKnown) await part.#recover()
      return part
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get unkept(): Unkept {
    return this.#pending
  }

  /** Takes the place of a block before anybody pays for its bytes: a disk that is full says so here, each time for free. */
  async claim(index: number): Promise<void> {
    const { offset, length } = blockRange(this.#file, index)
    await this.#handle.write(Buffer.alloc(length), 0, length, offset)
  }

  /** The caller has checked the block's digest. It is held, even when this throws. */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    this.#hold(index, bytes)
    await this.#put(index)
    this.#unsyncedBytes += bytes.length
    const sinceMs = this.#options.clock.monotonicMs() - this.#syncedMs
    if (this.#unsyncedBytes < this.#batchBytes && sinceMs < batchMs) return
    // The one before: never more than two batches in memory. What went wrong with it is told here, or tried again by `flush`.
    await this.#syncing
    this.#syncing = this.#sync()
    this.#syncing.catch(() => {})
  }

  /** Everything, at once. What it costs is stored even when there is no block to journal. */
  async flush(): Promise<void> {
    await this.#syncing.catch(() => {})
    await this.#sync()
  }

  async close(): Promise<void> {
    await this.#syncing.catch(() => {})
    await this.#handle.close()
  }

  #hold(index: number, bytes: Uint8Array): void {
    this.have.add(index)
    this.#pending.set(index, bytes)
    this.#unwritten.add(index)
  }

  async #put(index: number): Promise<void> {
    const bytes = this.#pending.get(index)!
    await this.#handle.write(bytes, 0, bytes.length, index * this.#file.blockBytes)
    this.#unwritten.delete(index)
  }

  /** Disk first, journal second: a row must never promise bytes that a power cut can take back. */
  async #sync(): Promise<void> {
    this.#unsyncedBytes = 0
    this.#syncedMs = this.#options.clock.monotonicMs()
    // Before anything is awaited: what is written meanwhile is the next batch's.
    const blocks = [...this.#pending.keys()]
    for (const index of [...this.#unwritten]) await this.#put(index)
    try {
      if (blocks.length > 0) await this.#handle.datasync()
    } catch (error) {
      // The next sync of the same pages would say that all is well, and be wrong (Linux forgets): they are written again.
      for (const index of blocks) this.#unwritten.add(index)
      throw error
    }
    this.#database.transaction(() => {
      for (const index of blocks)
        this.#database.run('INSERT OR IGNORE INTO block VALUES (?, ?)', this.#file.sha256, index)
      this.#options.alongside()
    })
    for (const index of blocks) this.#pending.delete(index)
  }

  /**
   * What a killed process had written and not journalled is paid for. It may be in the kernel's memory alone, and marked
   * there as if it were not, so it is written and forced to the disk like any other.
   */
  async #recover(): Promise<void> {
    let without = 0
    for (const { index, offset, length, sha256 } of missingBlocks(this.#file, this.have)) {
      if (without >= recoverBytesMax) return
      const bytes = Buffer.alloc(length)
      await this.#handle.read(bytes, 0, length, offset)
      if (sha256Hex(bytes) === sha256) {
        this.#hold(index, bytes)
        without = 0
        // Many, when the journal is lost and the file is not.
        if (this.#pending.size * length >= this.#batchBytes) await this.#sync()
      } else without += length
    }
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
