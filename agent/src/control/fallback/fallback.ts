import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import type { ActiveRelease } from '@godwit/protocol/messages/report'
import { releaseLayout } from '@godwit/protocol/release/directory'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { EpochMs } from '@godwit/protocol/units'
import { isAtRest, maySupersede } from '../deployment/deployment.ts'
import type { Journal, SlotState } from '../deployment/journal.ts'
import { isStaged, stage } from '../deployment/staging.ts'
import { syncDirectory, writeDurably } from '../files.ts'
import { because } from '../log.ts'
import { copyBlob } from '../medium/import.ts'
import type { Paths } from '../paths.ts'
import type { Serving } from '../serving.ts'
import { type FallbackRelease, readFallback } from './read-fallback.ts'

export type FallbackDeps = {
  slot: string
  /** Where the device's image carries the release. */
  directory: string
  paths: Paths
  /** That this device was told to believe when it joined. */
  pinnedRoot: Uint8Array
  journal: Journal
  serving: Pick<Serving, 'prove' | 'discardCandidate' | 'reconcile'>
  nowMs: () => EpochMs
  /** Has what is active be rolled back to the last known good; false when there is none. */
  giveUp: (code: ResultCode, detail: string) => boolean
  onServing: () => void
  tell: (kind: string, severity: 'warning' | 'alarm', detail: Record<string, string>) => void
}

/**
 * The release that came with the device: what serves before the first one arrives, and after the last one that worked
 * does not any more. It is laid out on the disk at the first start, when there is room, and from then on costs nothing.
 */
export class Fallback {
  readonly #deps: FallbackDeps
  #held: FallbackRelease | undefined
  #stopped = false
  /** Whether the directory was found to be of use is known. */
  isLookedAt = false
  /** One thing after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(deps: FallbackDeps) {
    this.#deps = deps
  }

  /** To be kept on the disk; undefined until it was found whole. */
  get releaseDigest(): string | undefined {
    return this.#held?.releaseDigest
  }

  /** Proves the directory, lays the release out, and serves it if nothing else does. Never rejects. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      this.#held = await this.#prepared()
      this.isLookedAt = true
      if (this.#held && !this.#read().active) await this.#serve('no release has come yet')
    })
  }

  /** What was active does not start, and there is no last known good. Never rejects. */
  replace(code: ResultCode, detail: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#held) return
      if (!this.#read().active) return this.#serve('nothing else is left')
      await this.#succeed(code, detail)
    })
  }

  /** Whatever goes on is not waited for: the slot's serving ends it. */
  stop(): void {
    this.#stopped = true
  }

  async #prepared(): Promise<FallbackRelease | undefined> {
    const { directory, paths, pinnedRoot } = this.#deps
    try {
      const found = await readFallback(directory, pinnedRoot)
      if (!isStaged(paths, found.releaseDigest)) layOut(paths, directory, found)
      return found
    } catch (error) {
      this.#unusable(error)
      return undefined
    }
  }

  /** Where a slot has no release at all. A deployment that has got as far as a candidate comes first. */
  async #serve(why: string): Promise<void> {
    const { phase } = this.#read().deployment
    if (!isAtRest(phase) && (!maySupersede(phase) || phase === 'self_testing')) return
    const proven = await this.#proven()
    if (!proven) return
    const state = this.#read()
    // A deployment may have come to its end meanwhile.
    if (state.active) return this.#deps.serving.discardCandidate(proven.releaseDigest)
    try {
      this.#write({ active: proven, lastKnownGood: proven }, state)
    } catch (error) {
      await this.#deps.serving.discardCandidate(proven.releaseDigest)
      throw error
    }
    await this.#deps.serving.reconcile().catch(() => {})
    this.#told(proven, why)
  }

  /** It becomes the last known good, and what is active is rolled back to it as to any other. */
  async #succeed(code: ResultCode, detail: string): Promise<void> {
    const { active, deployment } = this.#read()
    if (active?.releaseDigest === this.#held?.releaseDigest || !isAtRest(deployment.phase)) return
    const proven = await this.#proven()
    if (!proven) return
    const state = this.#read()
    await this.#deps.serving.discardCandidate(proven.releaseDigest)
    if (!state.active || !isAtRest(state.deployment.phase)) return
    this.#write({ active: state.active, lastKnownGood: proven }, state)
    if (this.#deps.giveUp(code, detail)) this.#told(proven, `the active release cannot be served: ${detail}`)
  }

  /** By its golden vectors, on this device and this boot, as any other. */
  async #proven(): Promise<ActiveRelease | undefined> {
    try {
      const proven = await this.#deps.serving.prove(this.#held!.releaseDigest)
      return { ...proven, since: this.#deps.nowMs() }
    } catch (error) {
      this.#unusable(error)
      return undefined
    }
  }

  #unusable(error: unknown): void {
    if (this.#stopped) return
    const { directory, tell } = this.#deps
    tell('fallback_unusable', 'alarm', { directory, because: because(error) })
  }

  #told({ model, version }: ActiveRelease, why: string): void {
    this.#deps.onServing()
    this.#deps.tell('fallback_serving', 'warning', { model, version, because: why })
  }

  #read(): SlotState {
    return this.#deps.journal.read(this.#deps.slot)
  }

  #write(releases: Pick<SlotState, 'active' | 'lastKnownGood'>, { deployment }: SlotState): void {
    this.#deps.journal.writeReleases(this.#deps.slot, releases, deployment)
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work).catch((error: unknown) => {
      // Most likely a disk that takes no writes; whatever serves goes on serving.
      this.#unusable(error)
    })
    this.#queue = done
    return done
  }
}

/** Copies into the blobs, block by block against the signed list, and from there as any release is staged. */
function layOut(paths: Paths, directory: string, { release, releaseDigest, bytes }: FallbackRelease): void {
  writeDurably(paths.blob(releaseDigest), bytes)
  for (const [path, file] of Object.entries(release.files)) {
    const blob = paths.blob(file.sha256)
    if (existsSync(blob)) continue
    const aside = `${blob}.fallback`
    rmSync(aside, { force: true })
    try {
      copyBlob(join(directory, releaseLayout.files, path), aside, file)
      renameSync(aside, blob)
    } catch (error) {
      rmSync(aside, { force: true })
      throw error
    }
  }
  syncDirectory(paths.blobs)
  if (!stage(paths, releaseDigest, release))
    throw new Fault('fallback-refused', `${directory}: its files are not all there`)
}
