import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { diskFreeBytes } from '../files.ts'
import { type Paths, pathsIn } from '../paths.ts'
import { type Database, openDatabase } from '../state/database.ts'

/** Left free on the disk whatever `bytesMax` says: this device comes before its neighbours. */
const watermarkBytes = 64 * 2 ** 20

type Entry = { bytes: number; usedMs: number }

/**
 * What a gateway keeps for its neighbours: blobs by digest, the longest unused go first. In a directory of its own with a
 * journal of its own, so that nothing here can push out what this device's slots need, and all of it may be deleted.
 */
export class GatewayCache {
  readonly paths: Paths
  readonly database: Database
  readonly #bytesMax: number
  readonly #nowMs: () => number
  readonly #entries = new Map<string, Entry>()
  /** Served or fetched at this moment, with how often. */
  readonly #busy = new Map<string, number>()

  constructor(directory: string, bytesMax: number, nowMs: () => number) {
    mkdirSync(join(directory, 'blobs'), { recursive: true })
    this.paths = pathsIn(directory)
    this.database = openDatabase(this.paths.database, nowMs()).database
    this.#bytesMax = bytesMax
    this.#nowMs = nowMs
    for (const name of readdirSync(this.paths.blobs)) this.#found(name)
    this.makeRoom(0)
  }

  /** What is neither a blob nor the beginning of one was never ours. */
  #found(name: string): void {
    const path = join(this.paths.blobs, name)
    const blob = /^([0-9a-f]{64})(?:\.part)?$/.exec(name)?.[1]
    const { size, mtimeMs } = statSync(path)
    if (blob === undefined) rmSync(path, { recursive: true, force: true })
    else this.#entries.set(blob, { bytes: size, usedMs: mtimeMs })
  }

  get bytes(): number {
    return [...this.#entries.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  has(sha256: string): boolean {
    return statSync(this.paths.blob(sha256), { throwIfNoEntry: false })?.isFile() ?? false
  }

  /** Nothing is taken away while somebody holds it. */
  hold(sha256: string): () => void {
    this.#busy.set(sha256, (this.#busy.get(sha256) ?? 0) + 1)
    const entry = this.#entries.get(sha256)
    if (entry) this.#use(sha256, entry)
    return () => {
      const left = (this.#busy.get(sha256) ?? 1) - 1
      if (left > 0) this.#busy.set(sha256, left)
      else this.#busy.delete(sha256)
    }
  }

  /** Takes the space for a blob that is going to be fetched; false when it cannot be had. */
  reserve(sha256: string, bytes: number): boolean {
    if (this.#entries.has(sha256)) return true
    if (!this.makeRoom(bytes)) return false
    this.#entries.set(sha256, { bytes, usedMs: this.#nowMs() })
    return true
  }

  /** Evicts, the longest unused first, until there is room for so many bytes more. */
  makeRoom(bytes: number): boolean {
    const byAge = [...this.#entries].sort(([, a], [, b]) => a.usedMs - b.usedMs)
    let total = this.bytes + bytes
    const isTight = () => diskFreeBytes(this.paths.root) < bytes + watermarkBytes
    for (const [sha256, entry] of byAge) {
      if (total <= this.#bytesMax && !isTight()) return true
      if (this.#busy.has(sha256)) continue
      this.forget(sha256)
      total -= entry.bytes
    }
    return total <= this.#bytesMax && !isTight()
  }

  forget(sha256: string): void {
    rmSync(this.paths.blob(sha256), { force: true })
    rmSync(this.paths.part(sha256), { force: true })
    this.database.run('DELETE FROM block WHERE blob = ?', sha256)
    this.#entries.delete(sha256)
  }

  close(): void {
    this.database.close()
  }

  /** The file's own time is the memory of it: a restart forgets nothing. */
  #use(sha256: string, entry: Entry): void {
    entry.usedMs = this.#nowMs()
    const seconds = entry.usedMs / 1_000
    if (this.has(sha256)) utimesSync(this.paths.blob(sha256), seconds, seconds)
  }
}
