import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { readIfThere, syncDirectory, writeDurably } from '../files.ts'

/** Verified metadata as received, one file per role, below one directory. Names come percent-encoded from the client. */
export class MetadataStore {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Everything stored, by role. What cannot be read is as good as absent: the client fetches it again. */
  held(): Map<string, Uint8Array> {
    const held = new Map<string, Uint8Array>()
    for (const name of this.#names()) {
      try {
        const bytes = readIfThere(join(this.#directory, name))
        if (bytes) held.set(decodeURIComponent(name.slice(0, -'.json'.length)), new Uint8Array(bytes))
      } catch {}
    }
    return held
  }

  store(fileName: string, bytes: Uint8Array): void {
    writeDurably(join(this.#directory, fileName), bytes)
  }

  delete(fileName: string): void {
    rmSync(join(this.#directory, fileName), { force: true })
    syncDirectory(this.#directory)
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory).filter((name) => name.endsWith('.json'))
    } catch {
      return []
    }
  }
}
