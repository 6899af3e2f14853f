import { Fault } from '@godwit/protocol/fault'
import type { Directive } from '@godwit/protocol/messages/directive'
import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { hasLostKey } from '@godwit/protocol/trust/checks'
import { TrustClient } from '@godwit/protocol/trust/client'
import { documents } from '@godwit/protocol/trust/metadata'
import { runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { accept, type Refused, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { TrustedTime } from '../clock.ts'
import type { Paths } from '../paths.ts'
import { AppliedDirective, type Names, type TakenDirective } from './applied-directive.ts'
import { MetadataCarrier, type MetadataVersions, type Sources } from './carrier.ts'
import { checkListed, type NamedRelease } from './listed-release.ts'
import { MetadataStore } from './metadata-store.ts'

/** Whoever holds one of their keys says what time it is at the earliest. */
const timekeepers = ['director', 'timestamp']

/** What this device believes, on disk and in memory. Everything that decides is in protocol; this puts it in order. */
export class Trust {
  readonly #time: TrustedTime
  readonly #carrier: MetadataCarrier
  readonly #client: TrustClient
  readonly #applied: AppliedDirective
  #queue: Promise<unknown> = Promise.resolve()

  /** @param pinnedRoot the document named by the join token: where the chain starts if nothing later is stored */
  constructor(options: { paths: Paths; names: Names; time: TrustedTime; pinnedRoot: Uint8Array } & Sources) {
    const { paths, names, time, pinnedRoot } = options
    this.#time = time
    const store = new MetadataStore(paths.trust)
    this.#carrier = new MetadataCarrier(store, options, (root) => this.#beforeRoot(root))
    this.#client = openClient(this.#carrier.held(), pinnedRoot)
    this.#applied = new AppliedDirective(paths.directive, names)
  }

  /** The goal state last applied, undefined before the first. */
  get directive(): Directive | undefined {
    return this.#applied.directive
  }

  get versions(): MetadataVersions {
    return { ...this.#carrier.versions, root: this.#client.root.version }
  }

  /** Keeps a retained document, or one from a stick, for the next refresh; true if it may be news. */
  heard(topic: string, payload: Uint8Array, from: 'wire' | 'medium' = 'wire'): boolean {
    return this.#carrier.inbox.put(topic, payload, from)
  }

  forgetHeard(): void {
    this.#carrier.inbox.clear()
  }

  /** One at a time: two refreshes side by side could store an older document over a newer one. */
  refresh(): Promise<Verdict<unknown>> {
    return this.#inTurn(() => this.#refresh())
  }

  /**
   * What has expired on its way, on a stick or at a hub that has stopped signing, is kept all the same: it is newer than
   * what was held, and who may still install by it is the publishers' to say. The refusal stays one, also where what it
   * names cannot be had.
   */
  async #refresh() {
    const refreshed = await runRefresh(this.#client, this.#time.nowMs(), this.#carrier)
    if (refreshed.trusted) this.#learnTime(refreshed.value.timestamp.godwit_issued)
    else if (refreshed.because === 'expired')
      await runRefresh(this.#client, this.#time.nowMs(), this.#carrier, { late: true }).catch(asAbsent)
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
    const refreshed = await this.#refresh().catch(asAbsent)
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
      const found = await this.#find({ model, version, releaseDigest, releaseBytes })
      // An old list proves what it holds and nothing else: the new one, which is only not here yet, may say otherwise.
      return found.trusted ? found : (renewed.value.behind ?? found)
    })
  }

  async #find(release: NamedRelease): Promise<Verdict<unknown>> {
    const path = targetPathOf(release.model, release.version)
    const found = await runFindTarget(this.#client, path, this.#carrier)
    return found.trusted ? checkListed(found.value, release) : found
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
  async takeDirective(bytes: Uint8Array): Promise<Verdict<TakenDirective>> {
    let verdict = this.#checkDirective(bytes)
    // The director's key may be newer than our root.
    if (!verdict.trusted && (verdict.because === 'bad-signature' || verdict.because === 'unknown-role')) {
      await this.refresh().catch(() => {})
      verdict = this.#checkDirective(bytes)
    }
    if (!verdict.trusted) return verdict
    const taken = this.#applied.keep(bytes, verdict.value)
    if (taken.trusted && !taken.value.unchanged) this.#learnTime(taken.value.directive.issued)
    return taken
  }

  #checkDirective(bytes: Uint8Array) {
    return this.#applied.check(bytes, this.#client.root, this.#time.nowMs())
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work)
    this.#queue = result.catch(() => {})
    return result
  }

  /** As in TUF 5.3.11: who had a say in the time has it no longer. */
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
}

function asAbsent(error: unknown): Refused {
  if (error instanceof Fault && error.code === 'metadata-unavailable') return refuse('absent', error.message)
  throw error
}

function openClient(held: ReadonlyMap<string, Uint8Array>, pinnedRoot: Uint8Array): TrustClient {
  const stored = TrustClient.open(held)
  if (stored.trusted) return stored.value
  // No later root than the one that the device was born with, or a damaged file: the chain is followed again from
  // there. Everything else that was seen counts all the same, or a restart would forget what is older than it.
  const pinned = TrustClient.open(new Map([...held, ['root', pinnedRoot]]))
  if (pinned.trusted) return pinned.value
  throw new Fault('pinned-root-unusable', `the enrolled root document: ${pinned.detail}`)
}
