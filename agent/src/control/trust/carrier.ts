import { Fault } from '@godwit/protocol/fault'
import type { Fetch } from '@godwit/protocol/trust/client'
import type { Carrier } from '@godwit/protocol/trust/refresh'
import { MetadataInbox } from './inbox.ts'
import type { MetadataStore } from './metadata-store.ts'
import { isForMedium, versionIn } from './read.ts'

/** Asks the broker for a retained document by name. Undefined when it does not come. */
export type AskMetadata = (role: string, version: number) => Promise<Uint8Array | undefined>

/** Asks the hub over HTTP. Null for "not there"; throws when it could not be asked. */
export type FetchMetadata = (fileName: string, bytesMax: number) => Promise<Uint8Array | null>

export type MetadataVersions = { root: number; timestamp: number; snapshot: number; targets: number }

export type Sources = { fetchMetadata?: FetchMetadata; askMetadata?: AskMetadata }

/** Brings metadata to the client and to the disk, and knows which versions are there. Believes nothing. */
export class MetadataCarrier implements Carrier {
  readonly inbox = new MetadataInbox()
  readonly #store: MetadataStore
  readonly #sources: Sources
  readonly #beforeRoot: (bytes: Uint8Array) => void
  readonly #versions: MetadataVersions = { root: 0, timestamp: 0, snapshot: 0, targets: 0 }

  /** @param beforeRoot runs before a new root is stored: a power cut in between repeats it, and forgets nothing */
  constructor(store: MetadataStore, sources: Sources, beforeRoot: (bytes: Uint8Array) => void) {
    this.#store = store
    this.#sources = sources
    this.#beforeRoot = beforeRoot
  }

  get versions(): MetadataVersions {
    return { ...this.#versions }
  }

  /** Everything stored by earlier refreshes, by role. */
  held(): Map<string, Uint8Array> {
    const held = this.#store.held()
    for (const [role, bytes] of held) this.#note(role, versionIn(bytes))
    return held
  }

  /** MQTT first: the same bytes, already here. HTTP for what did not come, if there is HTTP. */
  readonly fetch: Carrier['fetch'] = async ({ role, version, fileName, bytesMax }: Fetch) => {
    const heard = this.inbox.get(role, version)
    if (heard) return heard
    // Every root is retained, so once the timestamp was heard, silence about the next root says that there is none.
    if (role === 'root' && this.inbox.get('timestamp')) return null
    const asked =
      role === 'root' || version === undefined ? undefined : await this.#sources.askMetadata?.(role, version)
    if (asked) return asked
    if (this.#sources.fetchMetadata) {
      const bytes = await this.#sources.fetchMetadata(fileName, bytesMax)
      if (role !== 'timestamp' || !bytes || !isForMedium(bytes)) return bytes
      throw new Fault('metadata-unavailable', `${fileName} came over the network, and was signed for a stick`)
    }
    if (role === 'root') return null
    throw new Fault(
      'metadata-unavailable',
      `${fileName} was not heard over MQTT, and there is no HTTP to ask`,
    )
  }

  readonly store: Carrier['store'] = ({ role, version, fileName, bytes }) => {
    if (role === 'root') this.#beforeRoot(bytes)
    this.#store.store(fileName, bytes)
    this.#note(role, version)
  }

  readonly delete: Carrier['delete'] = ({ role, fileName }) => {
    this.#store.delete(fileName)
    this.#note(role, 0)
  }

  #note(role: string, version: number): void {
    if (Object.hasOwn(this.#versions, role)) this.#versions[role as keyof MetadataVersions] = version
  }
}
