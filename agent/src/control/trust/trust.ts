import { Fault } from '@godwit/protocol/fault'
import type { Directive } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import { canonicalBytes, parseStrict } from '@godwit/protocol/trust/canonical'
import { hasLostKey } from '@godwit/protocol/trust/checks'
import { type Fetch, TrustClient } from '@godwit/protocol/trust/client'
import { checkDirective } from '@godwit/protocol/trust/director'
import { documents } from '@godwit/protocol/trust/metadata'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { accept, type Refused, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { TrustedTime } from '../clock.ts'
import { readIfReadable, writeDurably } from '../files.ts'
import type { Paths } from '../paths.ts'
import { MetadataInbox } from './inbox.ts'
import { MetadataStore } from './metadata-store.ts'
import { flawOfDirective, readDirective, versionIn } from './read.ts'

export type Names = { fleet: string; deviceId: string }

/** Asks the broker for a retained document by name. Undefined when it does not come. */
export type AskMetadata = (role: string, version: number) => Promise<Uint8Array | undefined>

/** Asks the hub over HTTP. Null for "not there"; throws when it could not be asked. */
export type FetchMetadata = (fileName: string, bytesMax: number) => Promise<Uint8Array | null>

export type MetadataVersions = { root: number; timestamp: number; snapshot: number; targets: number }

/** Whoever holds one of their keys says what time it is at the earliest. */
const timekeepers = ['director', 'timestamp']

/** What this device believes, on disk and in memory. Everything that decides is in protocol; this carries bytes. */
export class Trust {
  readonly #paths: Paths
  readonly #names: Names
  readonly #time: TrustedTime
  readonly #store: MetadataStore
  readonly #inbox = new MetadataInbox()
  readonly #fetchMetadata: FetchMetadata | undefined
  readonly #askMetadata: AskMetadata | undefined
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
    askMetadata?: AskMetadata
  }) {
    this.#paths = options.paths
    this.#names = options.names
    this.#time = options.time
    this.#fetchMetadata = options.fetchMetadata
    this.#askMetadata = options.askMetadata
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
    // The slots' journals remember the version that they answered.
    const bytes = readIfReadable(this.#paths.directive)
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
    return this.#inTurn(() => this.#refresh())
  }

  /**
   * What has expired on its way, on a stick or at a hub that has stopped signing, is kept all the same: it is newer than
   * what was held, and who may still install by it is the publishers' to say. The refusal stays one.
   */
  async #refresh() {
    const refreshed = await runRefresh(this.#client, this.#time.nowMs(), this.#carrier)
    if (refreshed.trusted) this.#learnTime(refreshed.value.timestamp.godwit_issued)
    else if (refreshed.because === 'expired')
      await runRefresh(this.#client, this.#time.nowMs(), this.#carrier, { late: true })
    return refreshed
  }

  /** Whether what was verified, stale or not, is whole: what a search then finds, it finds by the publishers' grace. */
  resume(): Promise<Verdict<unknown>> {
    return this.#inTurn(async () => this.#client.resume(this.#time.nowMs()))
  }

  /**
   * A refresh, or what earlier ones verified where there is nothing fresh to be had (SPEC 3.8), and then `behind` says why
   * there was not. Not after any other refusal: then somebody is at work, and the report shall say so.
   */
  async #renew(): Promise<Verdict<{ behind?: Refused }>> {
    const refreshed = await this.#refresh().catch((error: unknown) => {
      if (error instanceof Fault && error.code === 'metadata-unavailable')
        return refuse('absent', error.message)
      throw error
    })
    if (refreshed.trusted) return accept({})
    if (refreshed.because !== 'absent' && refreshed.because !== 'expired') return refreshed
    return this.#client.resume(this.#time.nowMs()).trusted ? accept({ behind: refreshed }) : refreshed
  }

  /**
   * Is this release what the publishers signed under this name? Asks for news first; where there is none to be had, what
   * was verified before answers, also after a restart.
   */
  findRelease(
    model: string,
    version: string,
    releaseDigest: string,
    releaseBytes: number,
  ): Promise<Verdict<unknown>> {
    return this.#inTurn(async () => {
      const renewed = await this.#renew()
      if (!renewed.trusted) return renewed
      const found = await this.#find(model, version, releaseDigest, releaseBytes)
      // An old list proves what it holds and nothing else: the new one, which is only not here yet, may say otherwise.
      return found.trusted ? found : (renewed.value.behind ?? found)
    })
  }

  async #find(
    model: string,
    version: string,
    releaseDigest: string,
    releaseBytes: number,
  ): Promise<Verdict<unknown>> {
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
  }

  /** What the publishers list under this name, for a gateway. Asks for news only where nothing is known yet. */
  listed(model: string, version: string): Promise<Verdict<{ releaseDigest: string; releaseBytes: number }>> {
    return this.#inTurn(async () => {
      if (!this.#client.current) {
        const renewed = await this.#renew()
        if (!renewed.trusted) return renewed
      }
      const path = targetPathOf(model, version)
      const found = await runFindTarget(this.#client, path, this.#carrier)
      if (!found.trusted) return found
      const { hashes, length, custom } = found.value.file
      const releaseDigest = hashes['sha256']
      if (releaseDigest === undefined || !targetCustom.check(custom).ok)
        return refuse('malformed', `${path}: no release by its entry`)
      return accept({ releaseDigest, releaseBytes: length })
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
    if (!directive) return refuse('malformed', flawOfDirective(bytes))
    if (!verdict.value.unchanged) {
      writeDurably(this.#paths.directive, bytes)
      this.#applied = { version: directive.version, digest: verdict.value.digest }
      this.#learnTime(directive.issued)
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
      if (role === 'root') this.#beforeRoot(bytes)
      this.#store.store(fileName, bytes)
      this.#note(role, version)
    },
    delete: ({ role, fileName }) => {
      this.#store.delete(fileName)
      this.#note(role, 0)
    },
  }

  /** As in TUF 5.3.11, before the new root is stored: a power cut in between repeats it, and forgets nothing. */
  #beforeRoot(bytes: Uint8Array): void {
    const parsed = parseStrict(bytes)
    const next = documents.root.check(parsed.ok ? (parsed.value as { signed?: unknown }).signed : undefined)
    if (next.ok && timekeepers.some((role) => hasLostKey(this.#client.root, next.value, role)))
      this.#time.forgetProofs()
  }

  /** Never beyond the end of root: that is how far a key's word goes, and how far a stolen one sets us ahead. */
  #learnTime(issued: string | undefined): void {
    if (issued === undefined) return
    this.#time.raiseFloor(Math.min(fromRfc3339(issued), fromRfc3339(this.#client.root.expires) - 1))
  }

  /** MQTT first: the same bytes, already here. HTTP for what did not come, if there is HTTP. */
  async #fetch({ role, version, fileName, bytesMax }: Fetch): Promise<Uint8Array | null> {
    const heard = this.#inbox.get(role, version)
    if (heard) return heard
    // Every root is retained, so once the timestamp was heard, silence about the next root says that there is none.
    if (role === 'root' && this.#inbox.get('timestamp')) return null
    const asked =
      role === 'root' || version === undefined ? undefined : await this.#askMetadata?.(role, version)
    if (asked) return asked
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
