import {
  rootBytesMax,
  rootRotationsMax,
  snapshotBytesMax,
  targetsBytesMax,
  timestampBytesMax,
} from '@godwit/protocol/limits'
import { parseMetaTopic } from '@godwit/protocol/topics'
import { isForMedium, versionIn } from './read.ts'

/** No plain object: a team may be called `constructor`. */
const bytesMax = new Map([
  ['root', rootBytesMax],
  ['timestamp', timestampBytesMax],
  ['snapshot', snapshotBytesMax],
])

/**
 * Every root is retained, and one document for each team: none of them may push out the root that comes next, or the
 * device would take silence for "none". A broker gone mad fills no more than this.
 */
const documentsMax = 2 * rootRotationsMax
const heldBytesMax = 16_000_000

/** Metadata heard over MQTT and not yet believed. Bounded, and forgotten at each new connection. */
export class MetadataInbox {
  readonly #documents = new Map<string, Uint8Array>()
  #bytes = 0

  /**
   * Returns whether anything new was kept. An empty message clears a retained one and means nothing to us. What a person
   * has brought on a stick is looked at first, whatever a broker says of its own.
   */
  put(topic: string, payload: Uint8Array, from: 'wire' | 'medium' = 'wire'): boolean {
    const parsed = parseMetaTopic(topic)
    if (!parsed || payload.length === 0 || payload.length > (bytesMax.get(parsed.role) ?? targetsBytesMax))
      return false
    if (from === 'wire' && parsed.role === 'timestamp' && isForMedium(payload)) return false
    const name = nameOf(parsed.role, parsed.version)
    const held = this.#documents.get(name)
    // Just after a subscription a broker may hand out the retained timestamp behind a newer one that was just published.
    if (held && from === 'wire' && parsed.version === undefined && versionIn(held) > versionIn(payload))
      return false
    this.#forget(name)
    while (this.#documents.size >= documentsMax || this.#bytes + payload.length > heldBytesMax) {
      const oldest = this.#documents.keys().next().value
      if (oldest === undefined) return false
      this.#forget(oldest)
    }
    this.#documents.set(name, Uint8Array.from(payload))
    this.#bytes += payload.length
    return true
  }

  get(role: string, version?: number): Uint8Array | undefined {
    return this.#documents.get(nameOf(role, version))
  }

  clear(): void {
    this.#documents.clear()
    this.#bytes = 0
  }

  #forget(name: string): void {
    this.#bytes -= this.#documents.get(name)?.length ?? 0
    this.#documents.delete(name)
  }
}

function nameOf(role: string, version: number | undefined): string {
  return `${role}/${version ?? ''}`
}
