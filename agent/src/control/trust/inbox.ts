import {
  rootBytesMax,
  rootRotationsMax,
  snapshotBytesMax,
  targetsBytesMax,
  timestampBytesMax,
} from '@godwit/protocol/limits'
import { parseMetaTopic } from '@godwit/protocol/topics'
import { parseStrict } from '@godwit/protocol/trust/canonical'

const bytesMax: Record<string, number> = {
  root: rootBytesMax,
  timestamp: timestampBytesMax,
  snapshot: snapshotBytesMax,
}

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

  /** Returns whether anything new was kept. An empty message clears a retained one and means nothing to us. */
  put(topic: string, payload: Uint8Array): boolean {
    const parsed = parseMetaTopic(topic)
    if (!parsed || payload.length === 0 || payload.length > (bytesMax[parsed.role] ?? targetsBytesMax))
      return false
    const name = nameOf(parsed.role, parsed.version)
    const held = this.#documents.get(name)
    // Just after a subscription a broker may hand out the retained timestamp behind a newer one that was just published.
    if (held && parsed.version === undefined && saidVersion(held) > saidVersion(payload)) return false
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

/** What the document says of itself, unproved: it decides which of two to look at, for the length of a connection. */
function saidVersion(bytes: Uint8Array): number {
  const parsed = parseStrict(bytes)
  const version = parsed.ok && (parsed.value as { signed?: { version?: unknown } } | null)?.signed?.version
  return typeof version === 'number' ? version : 0
}

function nameOf(role: string, version: number | undefined): string {
  return `${role}/${version ?? ''}`
}
