import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { type Clock, sleep } from '../clock.ts'
import { type Format, formatOf } from './line-format.ts'
import type { Reading, Source, SourceConfig } from './source.ts'

/** Which file, and the byte after the last line that was read. */
type Place = { inode: number; offset: number }

const pollMs = 200
const chunkBytes = 65_536
/** A line without an end in sight is no reading; it is skipped as one bad reading instead of filling memory. */
const lineBytesMax = 1 << 20

/**
 * Follows a growing file, as `tail -F` does: a rotated file is read to its end before the new one is begun, a
 * truncated one is begun again, a last line without its line feed waits for the rest.
 */
export async function openFollowed(
  config: Extract<SourceConfig, { kind: 'jsonl' | 'csv' }>,
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
): Promise<Source> {
  return new FollowedFile(config.path, formatOf(config.kind, fields), cursor, clock)
}

class FollowedFile implements Source {
  readonly #path: string
  readonly #format: Format
  readonly #clock: Clock
  #place: Place | undefined
  #file: FileHandle | undefined
  /** Bytes of the file from `#place.offset` on that were read ahead. */
  #ahead: Buffer = Buffer.alloc(0)
  /** The next line begins something new. A file renamed away and read to its end is continued by its successor. */
  #isReplaced = false

  constructor(path: string, format: Format, cursor: unknown, clock: Clock) {
    this.#path = path
    this.#format = format
    this.#place = placeOf(cursor)
    this.#isReplaced = !this.#place && cursor !== null && cursor !== undefined
    this.#clock = clock
  }

  async next(signal: AbortSignal) {
    for (;;) {
      if (signal.aborted) throw signal.reason
      const line = this.#takeLine()
      if (line) return line
      if (await this.#readAhead()) continue
      if (!(await this.#followRotation())) await sleep(this.#clock, pollMs, signal)
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  /** The place moves only here, with a whole line: an interruption anywhere else changes nothing. */
  #takeLine(): { reading: Reading; cursor: Place } | undefined {
    while (this.#place) {
      const end = this.#ahead.indexOf(0x0a)
      if (end === -1 && this.#ahead.length < lineBytesMax) return undefined
      const length = end === -1 ? this.#ahead.length : end + 1
      const text = this.#ahead.toString('utf8', 0, length).trim()
      const { inode, offset } = this.#place
      this.#ahead = this.#ahead.subarray(length)
      this.#place = { inode, offset: offset + length }
      if (this.#format.isHeader && offset === 0) this.#format.header(text)
      else if (text !== '')
        return { reading: this.#readingOf(text, `${inode}:${offset}`), cursor: this.#place }
    }
    return undefined
  }

  #readingOf(text: string, position: string): Reading {
    const reading: Reading = { ...this.#format.read(text, this.#clock.now()), position }
    if (this.#isReplaced) reading.isFirst = true
    this.#isReplaced = false
    return reading
  }

  async #readAhead(): Promise<boolean> {
    this.#file ??= await this.#open()
    if (!this.#file || !this.#place) return false
    const { size } = await this.#file.stat()
    const from = this.#place.offset + this.#ahead.length
    // Shorter than what was read of it: truncated and written anew.
    if (size < from) {
      this.#place = { inode: this.#place.inode, offset: 0 }
      this.#ahead = Buffer.alloc(0)
      this.#isReplaced = true
      return size > 0
    }
    if (size === from) return false
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, from)
    this.#ahead = Buffer.concat([this.#ahead, buffer.subarray(0, bytesRead)])
    return bytesRead > 0
  }

  /** An absent file is waited for. A file of another inode is a new one, read from its start. */
  async #open(): Promise<FileHandle | undefined> {
    const file = (await this.#openRotated()) ?? (await openIfThere(this.#path))
    if (!file) return undefined
    const { ino } = await file.stat()
    if (this.#place?.inode === ino) {
      if (this.#format.isHeader && this.#place.offset > 0) this.#format.header(await firstLineOf(file))
      return file
    }
    // The file of the cursor is nowhere any more: nobody knows how it ended.
    if (this.#place) this.#isReplaced = true
    this.#place = { inode: ino, offset: 0 }
    return file
  }

  /** The file of the cursor, when it was renamed while nobody looked: its end comes before the new file. */
  async #openRotated(): Promise<FileHandle | undefined> {
    const wanted = this.#place?.inode
    if (wanted === undefined) return undefined
    const folder = dirname(this.#path)
    const siblings = (await readdir(folder).catch(() => [])).filter((name) =>
      name.startsWith(basename(this.#path)),
    )
    for (const name of siblings) {
      const path = join(folder, name)
      if ((await stat(path).catch(() => undefined))?.ino === wanted) return openIfThere(path)
    }
    return undefined
  }

  /** True when another file stands under the name now. What was left of a last line can never be completed. */
  async #followRotation(): Promise<boolean> {
    const found = await stat(this.#path).catch(() => undefined)
    if (!found || !this.#file || found.ino === this.#place?.inode) return false
    // Bytes may have come between the last look and the renaming.
    if (await this.#readAhead()) return true
    // Renamed away it still has a name; overwritten by another it has none, and the two are strangers.
    const { nlink } = await this.#file.stat()
    if (nlink === 0) this.#isReplaced = true
    await this.close()
    this.#place = { inode: found.ino, offset: 0 }
    this.#ahead = Buffer.alloc(0)
    return true
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Fault('source-unavailable', `cannot read ${path}`, { cause })
  }
}

/** What was read past once tells what the columns mean. */
async function firstLineOf(file: FileHandle): Promise<string> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, 0)
  const text = buffer.toString('utf8', 0, bytesRead)
  return text.slice(0, text.indexOf('\n')).trim()
}

/** A cursor of another kind of source is none. An inode is whatever number the file system gives, exact or not. */
function placeOf(cursor: unknown): Place | undefined {
  const { inode, offset } = (cursor ?? {}) as Partial<Place>
  return typeof inode === 'number' && Number.isSafeInteger(offset) ? { inode, offset: offset! } : undefined
}
