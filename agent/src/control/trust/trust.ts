import { Fault } from '@godwit/protocol/fault'
import { type Directive, directive as directiveDocument } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import { canonicalBytes, parseStrict } from '@godwit/protocol/trust/canonical'
import { type Fetch, TrustClient } from '@godwit/protocol/trust/client'
import { checkDirective } from '@godwit/protocol/trust/director'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { TrustedTime } from '../clock.ts'
import { readIfThere, writeDurably } from '../files.ts'
import type { Paths } from '../paths.ts'
import { MetadataInbox } from './inbox.ts'
import { MetadataStore } from './metadata-store.ts'

export type Names = { fleet: string; deviceId: string }

/** Asks the hub over HTTP. Null for "not there"; throws when it could not be asked. */
export type FetchMetadata = (fileName: string, bytesMax: number) => Promise<Uint8Array | null>

export type MetadataVersions = { root: number; timestamp: number; snapshot: number; targets: number }

/** What this device believes, on disk and in memory. Everything that decides is in protocol; this carries bytes. */
export class Trust {
  readonly #paths: Paths
  readonly #names: Names
  readonly #time: TrustedTime
  readonly #store: MetadataStore
  readonly #inbox = new MetadataInbox()
  readonly #fetchMetadata: FetchMetadata | undefined
  readonly #client: TrustClient
  readonly #versions: MetadataVersions = { root: 0, timestamp: 0, snapshot: 0, targets: 0 }
  #directive: Directive | undefined
  #applied: { version: number; digest: string } | undefined
  #queue: Promise<unknown> = Promise.resolve()

  /** @param pinnedRoot the document named by the join token: where the chain starts if nothing later is stored */
  constructor(options: {
    paths: Paths
    names: Names
    time: TrustedTime
    pinnedRoot: Uint8Array
    fetchMetadata?: FetchMetadata
  }) {
    this.#paths = options.paths
    this.#names = options.names
    this.#time = options.time
    this.#fetchMetadata = options.fetchMetadata
    this.#store = new MetadataStore(options.paths.trust)
    this.#client = this.#open(options.pinnedRoot)
    this.#readApplied()
  }

  #open(pinnedRoot: Uint8Array): TrustClient {
    const held = this.#store.held()
    for (const [role, bytes] of held) this.#note(role, versionIn(bytes))
    const stored = TrustClient.open(held)
    if (stored.trusted) return stored.value
    // No later root than the one that the device was born with, or a damaged file: the chain is followed again from
    // there. Everything else that was seen counts all the same, or a restart would forget what is older than it.
    const pinned = TrustClient.open(new Map([...held, ['root', pinnedRoot]]))
    if (!pinned.trusted)
      throw new Fault('pinned-root-unusable', `the enrolled root document: ${pinned.detail}`)
    return pinned.value
  }

  #readApplied(): void {
    const bytes = readIfThere(this.#paths.directive)
    const read = bytes && readDirective(bytes)
    if (!read) return
    this.#directive = read
    this.#applied = { version: read.version, digest: sha256Hex(canonicalBytes(read)) }
  }

  /** The goal state last applied, undefined before the first. */
  get directive(): Directive | undefined {
    return this.#directive
  }

  get versions(): MetadataVersions {
    return { ...this.#versions, root: this.#client.root.version }
  }

  /** Keeps a retained document for the next refresh; true if it may be news. */
  heard(topic: string, payload: Uint8Array): boolean {
    return this.#inbox.put(topic, payload)
  }

  forgetHeard(): void {
    this.#inbox.clear()
  }

  /** One at a time: two refreshes side by side could store an older document over a newer one. */
  refresh(): Promise<Verdict<unknown>> {
    return this.#inTurn(() => runRefresh(this.#client, this.#time.nowMs(), this.#carrier))
  }

  /**
   * Is this release what the publishers signed under this name? Answered from the last complete refresh, or a new one.
   */
  findRelease(
    model: string,
    version: string,
    releaseDigest: string,
    releaseBytes: number,
  ): Promise<Verdict<unknown>> {
    return this.#inTurn(async () => {
      const refreshed = await runRefresh(this.#client, this.#time.nowMs(), this.#carrier)
      if (!refreshed.trusted) return refreshed
      const path = targetPathOf(model, version)
      const found = await runFindTarget(this.#client, path, this.#carrier)
      if (!found.trusted) return found
      const { hashes, length, custom } = found.value.file
      if (hashes['sha256'] !== releaseDigest || length !== releaseBytes)
        return refuse(
          'hash-mismatch',
          `${path}: targets list ${hashes['sha256']} (${length} bytes), the directive names ${releaseDigest} (${releaseBytes} bytes)`,
        )
      const record = targetCustom.check(custom)
      if (!record.ok) return refuse('malformed', `${path}: ${record.detail}`)
      if (record.value.model !== model || record.value.version !== version)
        return refuse(
          'malformed',
          `${path}: the target calls itself ${record.value.model} ${record.value.version}`,
        )
      return accept(record.value)
    })
  }

  /** What the publishers list under this name, for a gateway. Refreshes only where no refresh has succeeded yet. */
  listed(
    model: string,
    version: string,
  ): Promise<{ releaseDigest: string; releaseBytes: number } | undefined> {
    return this.#inTurn(async () => {
      if (!this.#client.current) {
        const refreshed = await runRefresh(this.#client, this.#time.nowMs(), this.#carrier)
        if (!refreshed.trusted) return undefined
      }
      const found = await runFindTarget(this.#client, targetPathOf(model, version), this.#carrier)
      if (!found.trusted || !targetCustom.check(found.value.file.custom).ok) return undefined
      const { hashes, length } = found.value.file
      const releaseDigest = hashes['sha256']
      return releaseDigest === undefined ? undefined : { releaseDigest, releaseBytes: length }
    })
  }

  /** Checks, stores, and only then returns the directive. `unchanged` when it is the one already applied. */
  async takeDirective(bytes: Uint8Array): Promise<Verdict<{ directive: Directive; unchanged: boolean }>> {
    let verdict = this.#checkDirective(bytes)
    // The director's key may be newer than our root.
    if (!verdict.trusted && (verdict.because === 'bad-signature' || verdict.because === 'unknown-role')) {
      await this.refresh().catch(() => {})
      verdict = this.#checkDirective(bytes)
    }
    if (!verdict.trusted) return verdict
    const directive = readDirective(bytes)
    if (!directive) return refuse('malformed', detailOf(bytes))
    if (!verdict.value.unchanged) {
      writeDurably(this.#paths.directive, bytes)
      this.#applied = { version: directive.version, digest: verdict.value.digest }
      this.#time.raiseFloor(fromRfc3339(directive.issued))
    }
    this.#directive = directive
    return accept({ directive, unchanged: verdict.value.unchanged })
  }

  #checkDirective(bytes: Uint8Array) {
    const expected = { ...this.#names, now: this.#time.nowMs(), applied: this.#applied }
    return checkDirective(bytes, this.#client.root, expected)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work)
    this.#queue = result.catch(() => {})
    return result
  }

  readonly #carrier: Carrier = {
    fetch: (need) => this.#fetch(need),
    store: ({ role, version, fileName, bytes }) => {
      this.#store.store(fileName, bytes)
      this.#note(role, version)
    },
    delete: ({ role, fileName }) => {
      this.#store.delete(fileName)
      this.#note(role, 0)
    },
  }

  /** MQTT first: the same bytes, already here. HTTP for what did not come, if there is HTTP. */
  async #fetch({ role, version, fileName, bytesMax }: Fetch): Promise<Uint8Array | null> {
    const heard = this.#inbox.get(role, version)
    if (heard) return heard
    // Every root is retained, so once the timestamp was heard, silence about the next root says that there is none.
    if (role === 'root' && this.#inbox.get('timestamp')) return null
    if (this.#fetchMetadata) return this.#fetchMetadata(fileName, bytesMax)
    if (role === 'root') return null
    throw new Fault(
      'metadata-unavailable',
      `${fileName} was not heard over MQTT, and there is no HTTP to ask`,
    )
  }

  #note(role: string, version: number): void {
    if (Object.hasOwn(this.#versions, role)) this.#versions[role as keyof MetadataVersions] = version
  }
}

function versionIn(bytes: Uint8Array): number {
  const parsed = parseStrict(bytes)
  const version = parsed.ok ? (parsed.value as { signed?: { version?: unknown } }).signed?.version : 0
  return typeof version === 'number' ? version : 0
}

function readDirective(bytes: Uint8Array): Directive | undefined {
  const parsed = parseStrict(bytes)
  const read = directiveDocument.check(parsed.ok ? (parsed.value as { signed?: unknown }).signed : undefined)
  return read.ok ? read.value : undefined
}

function detailOf(bytes: Uint8Array): string {
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return parsed.detail
  const read = directiveDocument.check((parsed.value as { signed?: unknown }).signed)
  return read.ok ? '' : read.detail
}
