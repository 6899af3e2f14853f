import { sha256Hex } from '@godwit/protocol/release/blocks'
import { type BundleFile, mistakesOf, release as releaseDocument } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/strict-json'
import type { ReleaseName } from '../download/block-source.ts'
import { readIfThere } from '../files.ts'
import type { Trust } from '../trust/trust.ts'

/** Looks at metadata in a minute: strangers must not keep the device busy with names that they make up. */
const looksPerMinuteMax = 60
const keptMax = 64

export type ListedBlob = { release: ReleaseName; file: BundleFile }
type Known = { release: ReleaseName; document: BundleFile }

/**
 * May this blob be fetched for a stranger? Only if the publishers list the release that it is said to belong to, and the
 * release names it: a gateway is no proxy to anywhere and no store for anything.
 */
export class ListedBlobs {
  readonly #trust: Pick<Trust, 'listed'>
  readonly #blobPaths: (sha256: string) => readonly string[]
  readonly #monotonicMs: () => number
  readonly #known = new Map<string, Known | undefined>()
  #looks = 0
  #minute = 0

  constructor(
    trust: Pick<Trust, 'listed'>,
    blobPaths: (sha256: string) => readonly string[],
    monotonicMs: () => number,
  ) {
    this.#trust = trust
    this.#blobPaths = blobPaths
    this.#monotonicMs = monotonicMs
  }

  /** `first`: the release document, which says whether the blob is its own. @param header `MODEL/VERSION`, as the neighbour says */
  async find(
    header: string | undefined,
    sha256: string,
  ): Promise<ListedBlob | { first: ListedBlob } | undefined> {
    const [, model, version] =
      /^([A-Za-z0-9_-]{1,64})\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/.exec(header ?? '') ?? []
    if (model === undefined || version === undefined) return undefined
    const known = await this.#release(model, version)
    if (!known) return undefined
    const { release, document } = known
    if (document.sha256 === sha256) return { release, file: document }
    const files = this.#filesOf(document)
    if (!files) return { first: { release, file: document } }
    const file = files.find((one) => one.sha256 === sha256)
    return file && { release, file }
  }

  async #release(model: string, version: string): Promise<Known | undefined> {
    const minute = Math.floor(this.#monotonicMs() / 60_000)
    if (minute !== this.#minute) {
      // What was listed a minute ago may have been revoked, and the other way round.
      this.#known.clear()
      this.#minute = minute
      this.#looks = 0
    }
    const name = `${model}/${version}`
    if (this.#known.has(name)) return this.#known.get(name)
    if (this.#looks >= looksPerMinuteMax || this.#known.size >= keptMax) return undefined
    this.#looks++
    const listed = await this.#trust.listed(model, version).catch(() => undefined)
    const known = listed?.trusted ? knownBy(model, version, listed.value) : undefined
    this.#known.set(name, known)
    return known
  }

  /** Undefined while its document is not here. */
  #filesOf({ sha256 }: BundleFile): BundleFile[] | undefined {
    for (const path of this.#blobPaths(sha256)) {
      const bytes = readIfThere(path)
      if (!bytes || sha256Hex(bytes) !== sha256) continue
      const parsed = parseStrict(bytes)
      const read = parsed.ok ? releaseDocument.check(parsed.value) : parsed
      return read.ok && mistakesOf(read.value).length === 0 ? Object.values(read.value.files) : []
    }
    return undefined
  }
}

function knownBy(
  model: string,
  version: string,
  { releaseDigest, releaseBytes }: { releaseDigest: string; releaseBytes: number },
): Known {
  const blockBytes = Math.max(1, releaseBytes)
  return {
    release: { model, version, releaseDigest },
    document: { sha256: releaseDigest, sizeBytes: releaseBytes, blockBytes, blocks: [releaseDigest] },
  }
}
