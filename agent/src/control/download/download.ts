import { stat } from 'node:fs/promises'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import type { Clock } from '../clock.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import type { BlockSource, SourceEnd } from './block-source.ts'
import { blocksHeld, PartFile } from './part-file.ts'
import { missingBlocks, type Wanted } from './plan.ts'
import { TokenBucket } from './token-bucket.ts'

export type DownloadDeps = {
  paths: Paths
  database: Database
  clock: Clock
  /** In order of preference, for this moment. */
  sources: () => readonly BlockSource[]
  bytesPerSecondMax?: number | undefined
}

/** Wrong blocks of one file, from all sources together, before it is given up as tampered with. */
const wrongBlocksMax = 6

/**
 * Fetches what is missing of one file, from the first source that can. Never a byte is kept that is not in the signed
 * block list. Returns `retryable` when no source could bring it all now: what came is kept, and the next call goes on.
 */
export class Downloader {
  readonly #deps: DownloadDeps
  readonly #bucket: TokenBucket | undefined
  readonly #wrong = new Map<string, number>()

  constructor(deps: DownloadDeps) {
    this.#deps = deps
    const cap = deps.bytesPerSecondMax
    this.#bucket = cap === undefined ? undefined : new TokenBucket(cap, deps.clock.monotonicMs())
  }

  /** Bytes of this file still to come; nothing is opened or written. */
  async missingBytes(file: BundleFile): Promise<number> {
    if (await this.#isThere(file)) return 0
    return missingBlocks(file, blocksHeld(this.#deps.database, file.sha256)).reduce(
      (sum, b) => sum + b.length,
      0,
    )
  }

  async fetch(file: BundleFile, signal: AbortSignal, onBytes: (count: number) => void): Promise<SourceEnd> {
    if (await this.#isThere(file)) return { end: 'complete' }
    const part = await PartFile.open(this.#deps.paths, file, this.#deps.database)
    try {
      return await this.#fetchInto(part, file, signal, onBytes)
    } finally {
      // What was verified is kept, whatever ended the download.
      try {
        await part.flush()
      } finally {
        await part.close()
      }
    }
  }

  async #fetchInto(
    part: PartFile,
    file: BundleFile,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<SourceEnd> {
    const have = blocksHeld(this.#deps.database, file.sha256)
    const take = async (block: Wanted, bytes: Uint8Array) => {
      if (sha256Hex(bytes) !== block.sha256) {
        this.#wrong.set(file.sha256, (this.#wrong.get(file.sha256) ?? 0) + 1)
        return false
      }
      if (have.has(block.index)) return true
      await part.write(block.index, bytes)
      have.add(block.index)
      onBytes(bytes.length)
      await this.#pace(bytes.length, signal)
      return true
    }
    let end: SourceEnd = { end: 'retryable', code: 'link_lost', detail: 'no source of blocks is in reach' }
    for (const source of this.#deps.sources()) {
      signal.throwIfAborted()
      // A wrong block may be a glitch of this moment, and may be all that this source has: a few tries tell.
      for (let tries = 0; tries < 3; tries++) {
        end = await source.fetch(file, missingBlocks(file, have), take, signal)
        if (end.end === 'complete' || end.code !== 'integrity' || this.#isHopeless(file)) break
      }
      if (end.end === 'complete' || this.#isHopeless(file)) break
    }
    if (end.end !== 'complete' && this.#isHopeless(file)) {
      const wrong = this.#wrong.get(file.sha256)
      this.#wrong.delete(file.sha256)
      return {
        end: 'refused',
        code: 'integrity',
        detail: `${wrong} blocks of ${file.sha256} came with the wrong digest; the last: ${end.detail}`,
      }
    }
    return end
  }

  #isHopeless(file: BundleFile): boolean {
    return (this.#wrong.get(file.sha256) ?? 0) >= wrongBlocksMax
  }

  async #isThere(file: BundleFile): Promise<boolean> {
    return stat(this.#deps.paths.blob(file.sha256)).then(
      (found) => found.size === file.sizeBytes,
      () => false,
    )
  }

  async #pace(bytes: number, signal: AbortSignal): Promise<void> {
    const waitMs = this.#bucket?.take(bytes, this.#deps.clock.monotonicMs()) ?? 0
    if (waitMs === 0) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, waitMs)
      signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }
}
