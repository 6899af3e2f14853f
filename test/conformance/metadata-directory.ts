import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { removeDurably, writeDurably } from './durable-file.ts'

const suffix = '.json'

/** Verified metadata on disk, a file per role without its version. Names come encoded and hold no slash. */
export class MetadataDirectory {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** By role name, as `TrustClient.open` wants it. */
  async read(): Promise<Map<string, Uint8Array>> {
    const held = new Map<string, Uint8Array>()
    for (const name of await readdir(this.#path)) {
      if (!name.endsWith(suffix)) continue
      held.set(decodeURIComponent(name.slice(0, -suffix.length)), await readFile(join(this.#path, name)))
    }
    return held
  }

  store({ fileName, bytes }: { fileName: string; bytes: Uint8Array }): Promise<void> {
    return writeDurably(join(this.#path, fileName), bytes)
  }

  delete({ fileName }: { fileName: string }): Promise<void> {
    return removeDurably(join(this.#path, fileName))
  }
}
