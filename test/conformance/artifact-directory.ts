import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkFile } from '@godwit/protocol/trust/checks'
import type { FoundTarget } from '@godwit/protocol/trust/client'
import { targetFileNameOf } from '@godwit/protocol/trust/file-name'
import { own } from '@godwit/protocol/trust/metadata'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { writeDurably } from './durable-file.ts'
import { get } from './http-get.ts'

/** Where verified artifacts lie, flat: a target path is one file name here, whatever slashes and dots it has. */
export class ArtifactDirectory {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** TUF §5.7. Asks the repository only for what is not here already, with the listed length and hashes. */
  async take({ path, file }: FoundTarget, baseUrl: string, isConsistent: boolean): Promise<Verdict<string>> {
    // Without a hash that we can compute, nothing would tie the bytes to the signature.
    const hash = own(file.hashes, 'sha256') ?? own(file.hashes, 'sha512')
    if (!hash) return refuse('hash-mismatch', `${path}: expected a sha256 or sha512 to be listed`)
    const place = join(this.#path, fileNameOfArtifact(path))
    const held = await readFile(place).catch(() => undefined)
    if (held && !checkFile(path, held, file)) return accept(place)

    const name = targetFileNameOf(path, isConsistent ? hash : undefined)
    const bytes = await get(baseUrl, name.split('/').map(encodeURIComponent).join('/'), file.length)
    if (!bytes) return refuse('absent', `${path} is not there`)
    const altered = checkFile(path, bytes, file)
    if (altered) return altered
    await writeDurably(place, bytes)
    return accept(place)
  }
}

/** No slash and no dot in front: neither another directory nor `..`. */
function fileNameOfArtifact(path: string): string {
  return encodeURIComponent(path).replace(/^\./, '%2E')
}
