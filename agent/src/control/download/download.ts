import { stat } from 'node:fs/promises'
import { blockRange, sha256Hex } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { DurationMs } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import { diskFreeBytes } from '../files.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import type { BlockSource, Delivery, ReleaseName, SourceEnd } from './block-source.ts'
import type { Budget, Overrun } from './budget.ts'
import type { Pacer } from './pacer.ts'
import { blocksHeld, PartFile, type Unkept } from './part-file.ts'
import { pause } from './pause.ts'
import { bytesOf, missingBlocks, type Wanted } from './plan.ts'
import { RateFloor } from './rate-floor.ts'
import { isUnreachable, SourceMoods } from './source-moods.ts'

export type DownloadDeps = {
  paths: Paths
  database: Database
  clock: Clock
  random: () => number
  /** In order of preference, for this moment. */
  sources: () => readonly BlockSource[]
  budget: Budget
  pacer: Pacer
  /** Whose plan a file's bytes count against; absent: its release's. */
  accountOf?: (release: ReleaseName, file: BundleFile) => string
  /** Slower than this for a whole window, and another source gets its turn. */
  bytesPerSecondMin: number
  rateWindowMs?: DurationMs
  /** The first byte of a release comes some time within this long, so that a fleet does not come at once. */
  spreadMs: () => DurationMs
  onAside?: (source: BlockSource, detail: string) => void
  /** A block is on the disk (not necessarily for a power cut). */
  onBlock?: (file: BundleFile, block: Wanted) => void
}

/**
 * - `waiting`: what came is kept, and the next call goes on; `counts`: somebody had the chance to bring something
 * - `failed`: for good
 */
export type DownloadEnd =
  | { end: 'complete' }
  | { end: 'waiting'; code: ResultCode; detail: string; counts: boolean }
  | { end: 'failed'; code: ResultCode; detail: string }

/** Accounts of what a gateway fetches for others, by blob. */
export const neighbourPrefix = 'neighbour/'

/** Wrong blocks of one file from our own hub, before it is given up as tampered with. */
const wrongBlocksMax = 6
/** A wrong block may be a glitch of this moment, and the hub may be all that there is: a few tries tell. */
const wrongInARowMax = 3
/** How long a call waits for a source before it lets its caller look at the world. */
const waitMsMax = 60_000
const pauseMsMin = 250
const rateWindowMsDefault = 60_000

type Job = {
  release: ReleaseName
  file: BundleFile
  part: PartFile
  signal: AbortSignal
  onBytes: (count: number) => void
}

/**
 * Fetches what is missing of one file, from the first source that can, within its plan. Never a byte is kept that is not
 * in the signed block list.
 */
export class Downloader {
  readonly #deps: DownloadDeps
  readonly #moods: SourceMoods
  readonly #wrong = new Map<string, number>()
  readonly #spread = new Set<string>()
  readonly #wake = new Set<() => void>()
  /** Calls in a row in which nobody was there. */
  #idle = 0
  /** Of the last blob: what is paid for, and no disk has taken yet. A few MiB at most. */
  #unkept: { blob: string; blocks: Unkept } | undefined
  /** Blobs whose part file holds nothing that we do not know of. */
  readonly #known = new Set<string>()
  /** The block for which the disk and the database have last said that they take what comes. */
  #claimed: string | undefined

  constructor(deps: DownloadDeps) {
    this.#deps = deps
    this.#moods = new SourceMoods(() => deps.clock.monotonicMs(), deps.random)
  }

  /** Bytes of this file still to come; nothing is opened or written. */
  async missingBytes(file: BundleFile): Promise<number> {
    if (await this.#isThere(file)) return 0
    return bytesOf(missingBlocks(file, blocksHeld(this.#deps.database, file.sha256)))
  }

  /**
   * Says what these files will take from the link, before the first byte of them. Calling it again changes nothing.
   *
   * @param part of the release: its document or its bundle
   */
  async plan(
    release: ReleaseName,
    part: 'document' | 'bundle',
    files: readonly BundleFile[],
  ): Promise<Extract<DownloadEnd, { end: 'failed' }> | undefined> {
    let missing = 0
    for (const file of files) missing += await this.missingBytes(file)
    const overrun = this.#deps.budget.plan(release.releaseDigest, part, missing)
    return overrun && { end: 'failed', code: 'budget_bytes', detail: overrun.detail }
  }

  /** No release is on its way any more. */
  forgetPlans(): void {
    this.#spread.clear()
    this.#unkept = undefined
    this.#known.clear()
    // A gateway's neighbours may still be served.
    this.#deps.budget.forget((account) => !account.startsWith(neighbourPrefix))
  }

  /** The world has changed: whoever waits for a source may look again. */
  kick(): void {
    for (const wake of this.#wake) wake()
  }

  async fetch(
    release: ReleaseName,
    file: BundleFile,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<DownloadEnd> {
    if (await this.#isThere(file)) return { end: 'complete' }
    const part = await this.#open(file)
    try {
      await this.#keepEarlier(part, file, onBytes)
      return await this.#fetchInto({ release, file, part, signal, onBytes })
    } finally {
      // What was verified is kept, and what it cost, whatever ended the download.
      try {
        await part.flush()
      } finally {
        await part.close()
        if (part.unkept.size > 0) this.#hold({ blob: file.sha256, blocks: part.unkept })
      }
    }
  }

  async #open(file: BundleFile): Promise<PartFile> {
    const { paths, database, clock, budget } = this.#deps
    const { sha256 } = file
    const unkept = this.#unkept?.blob === sha256 ? this.#unkept.blocks : undefined
    const part = await PartFile.open(paths, file, database, {
      ...{ clock, unkept, isKnown: this.#known.has(sha256) },
      alongside: () => budget.store(),
    })
    if (unkept) this.#unkept = undefined
    this.#known.add(sha256)
    this.#claimed = undefined
    return part
  }

  #hold(unkept: { blob: string; blocks: Unkept }): void {
    // One blob's: the other's may still be found in its part file.
    if (this.#unkept) this.#known.delete(this.#unkept.blob)
    this.#unkept = unkept
  }

  /** Blocks that were paid for before go first: a disk that takes them is there to be paid for more. */
  async #keepEarlier(part: PartFile, file: BundleFile, onBytes: (count: number) => void): Promise<void> {
    const earlier = [...part.unkept]
    if (earlier.length === 0) return
    await part.flush()
    for (const [index, { length }] of earlier) {
      onBytes(length)
      this.#deps.onBlock?.(file, { index, sha256: file.blocks[index]!, ...blockRange(file, index) })
    }
  }

  async #fetchInto(job: Job): Promise<DownloadEnd> {
    const { release, file, part, signal } = job
    const { have } = part
    const asked = new Asked()
    for (;;) {
      signal.throwIfAborted()
      if (missingBlocks(file, have).length === 0) return { end: 'complete' }
      const sources = this.#deps.sources().filter(({ name }) => !asked.isThrough(name))
      const source = sources.find((one) => this.#moods.restMs(one) === 0)
      if (!source) {
        const restMs = Math.min(...sources.map((one) => this.#moods.restMs(one)))
        if (restMs > waitMsMax) return this.#nobody(asked, signal)
        await this.#sleep(restMs, signal)
        continue
      }
      if (source.cost !== 'none') {
        const full = await this.#claim(job)
        if (full) return full
      }
      const before = have.size
      const { end, overrun } = await this.#ask(source, job)
      if (overrun) return this.#spent(overrun, file)
      if (have.size > before || end.end === 'complete') {
        this.#moods.succeeded(source)
        this.#idle = 0
      }
      if (end.end === 'complete') continue
      const failure = this.#judge(source, end, asked, file)
      if (failure) return failure
      const isSetback = end.end === 'retryable' && end.code !== 'integrity' && !isUnreachable(end)
      if (isSetback && !this.#deps.budget.setback(this.#account(release, file))) {
        const detail = `too many setbacks for one release; the last: ${end.detail}`
        return { end: 'failed', code: end.code, detail }
      }
    }
  }

  /**
   * Before anybody pays: the disk has room for all that is missing and takes the first block of it, and the database
   * takes an entry. Asked again only when something has come since.
   */
  async #claim({ file, part }: Job): Promise<DownloadEnd | undefined> {
    const missing = missingBlocks(file, part.have)
    const first = missing[0]!
    const claimed = `${file.sha256}/${first.index}`
    if (this.#claimed === claimed) return undefined
    const free = diskFreeBytes(this.#deps.paths.root)
    // The first may have its place already.
    const needed = bytesOf(missing) - first.length
    if (free < needed) {
      const detail = `${free} bytes free, ${needed} to come`
      return { end: 'waiting', code: 'no_space', detail, counts: true }
    }
    await part.claim(first.index)
    this.#deps.budget.store()
    this.#claimed = claimed
    return undefined
  }

  /** What a failure says of its source; an answer when it says something of the file. */
  #judge(
    source: BlockSource,
    end: Exclude<SourceEnd, { end: 'complete' }>,
    asked: Asked,
    file: BundleFile,
  ): DownloadEnd | undefined {
    asked.last = end
    if (end.end === 'refused') {
      // That a blob is not on our own disk is nobody's answer.
      asked.through(source.name, source.cost !== 'none')
    } else if (isUnreachable(end)) {
      asked.through(source.name, false)
      // A blackhole costs a timeout each time it is tried.
      if (source.isStranger) this.#moods.failed(source, {})
    } else if (end.code === 'integrity' && source.isStranger) {
      asked.through(source.name, true)
      this.#moods.leaveAside(source)
      this.#deps.onAside?.(source, end.detail)
    } else if (end.code === 'integrity') {
      if (this.#isHopeless(file)) return this.#tampered(file, end.detail)
      if (asked.wrong(source.name) >= wrongInARowMax) asked.through(source.name, true)
    } else this.#moods.failed(source, end)
    return undefined
  }

  /** Everybody was asked, or has asked to be left alone for long: the caller looks at the world, after a pause. */
  async #nobody(asked: Asked, signal: AbortSignal): Promise<DownloadEnd> {
    const { last } = asked
    // Nobody there costs nobody anything, so nothing else slows it down.
    if (!asked.hasAnswer) {
      const pauseMs = Math.min(waitMsMax, pauseMsMin * 2 ** Math.min(20, this.#idle++))
      await this.#sleep(this.#deps.random() * pauseMs, signal)
    }
    return {
      end: 'waiting',
      code: last?.code ?? 'link_lost',
      detail: last?.detail ?? 'no source of blocks is in reach',
      counts: asked.size > 0,
    }
  }

  /** One source, under watch: no faster than allowed, no slower than bearable, no more than planned. */
  async #ask(source: BlockSource, job: Job): Promise<{ end: SourceEnd; overrun?: Overrun }> {
    const { release, file, part, signal } = job
    const { budget, clock, pacer, bytesPerSecondMin, rateWindowMs = rateWindowMsDefault } = this.#deps
    const key = this.#account(release, file)
    const isPaid = source.cost === 'link'
    const overrunNow = isPaid ? budget.overrun(key) : undefined
    if (overrunNow) return { end: budgetEnd(overrunNow), overrun: overrunNow }
    if (isPaid && !source.isShared) await this.#spreadOut(key, signal)
    const guard = new AbortController()
    let overrun: Overrun | undefined
    let ownFault: { because: unknown } | undefined
    const floor = new RateFloor(bytesPerSecondMin, rateWindowMs, clock.monotonicMs())
    const watch = setInterval(() => {
      if (floor.isTooSlow(clock.monotonicMs())) guard.abort(new TooSlow())
    }, rateWindowMs / 6)
    const delivery: Delivery = {
      file,
      wanted: missingBlocks(file, part.have),
      release,
      signal: AbortSignal.any([signal, guard.signal]),
      room: () => (isPaid ? budget.room(key) : Number.POSITIVE_INFINITY),
      received: (bytes) => {
        floor.received(bytes)
        if (!isPaid) return
        budget.charge(key, bytes)
        overrun ??= budget.overrun(key)
        if (overrun && !guard.signal.aborted) guard.abort(new Error(overrun.detail))
      },
      take: async (block, bytes) => {
        const isRight = await this.#keep(source, job, block, bytes).catch((because: unknown) => {
          // Our own disk, and no fault of the source: it is not asked for more.
          ownFault ??= { because }
          guard.abort(because)
          throw because
        })
        if (isRight && source.cost !== 'none') floor.paused(await pacer.pace(bytes.length, isPaid, signal))
        return isRight
      },
    }
    try {
      const end = await source.fetch(delivery)
      if (ownFault) throw ownFault.because
      // The last byte may have been one too many, and everything is here all the same.
      return overrun && end.end !== 'complete' ? { end, overrun } : { end }
    } catch (error) {
      signal.throwIfAborted()
      if (ownFault) throw ownFault.because
      if (overrun) return { end: budgetEnd(overrun), overrun }
      if (!(guard.signal.reason instanceof TooSlow)) throw error
      const detail = `${source.name}: fewer than ${bytesPerSecondMin} bytes a second over ${rateWindowMs} ms`
      return { end: { end: 'retryable', code: 'slow_source', detail } }
    } finally {
      clearInterval(watch)
    }
  }

  async #keep(source: BlockSource, job: Job, block: Wanted, bytes: Uint8Array): Promise<boolean> {
    const { file, part, release } = job
    if (sha256Hex(bytes) !== block.sha256) {
      if (!source.isStranger) this.#wrong.set(file.sha256, (this.#wrong.get(file.sha256) ?? 0) + 1)
      return false
    }
    if (part.have.has(block.index)) return true
    await part.write(block.index, bytes)
    this.#deps.budget.progressed(this.#account(release, file))
    job.onBytes(bytes.length)
    this.#deps.onBlock?.(file, block)
    return true
  }

  #account(release: ReleaseName, file: BundleFile): string {
    return this.#deps.accountOf?.(release, file) ?? release.releaseDigest
  }

  #spent({ detail, isFinal }: Overrun, file: BundleFile): DownloadEnd {
    // Somebody sends wrong blocks until the plan is spent: that is the news, not the spending.
    if (isFinal && (this.#wrong.get(file.sha256) ?? 0) >= wrongInARowMax) return this.#tampered(file, detail)
    return isFinal
      ? { end: 'failed', code: 'budget_bytes', detail }
      : { end: 'waiting', code: 'budget_bytes', detail, counts: false }
  }

  #tampered(file: BundleFile, detail: string): DownloadEnd {
    const wrong = this.#wrong.get(file.sha256)
    this.#wrong.delete(file.sha256)
    return {
      end: 'failed',
      code: 'integrity',
      detail: `${wrong} blocks of ${file.sha256} came with the wrong digest; the last: ${detail}`,
    }
  }

  #isHopeless(file: BundleFile): boolean {
    return (this.#wrong.get(file.sha256) ?? 0) >= wrongBlocksMax
  }

  async #isThere(file: BundleFile): Promise<boolean> {
    return stat(this.#deps.paths.blob(file.sha256)).then(
      (found) => found.size === file.sizeBytes,
      () => false,
    )
  }

  /** Once for each release, and not again after a restart that has bytes to go on from. */
  async #spreadOut(release: string, signal: AbortSignal): Promise<void> {
    if (this.#spread.has(release)) return
    this.#spread.add(release)
    await this.#sleep(this.#deps.random() * this.#deps.spreadMs(), signal)
  }

  /** Until the time is up or somebody knows better. */
  async #sleep(ms: DurationMs, signal: AbortSignal): Promise<void> {
    if (ms <= 0) return
    const woken = new AbortController()
    const wake = () => woken.abort()
    this.#wake.add(wake)
    try {
      await pause(ms, AbortSignal.any([signal, woken.signal])).catch(() => {})
      signal.throwIfAborted()
    } finally {
      this.#wake.delete(wake)
    }
  }
}

/** Who was asked in one call, and need not be asked again in it. */
class Asked {
  last: Exclude<SourceEnd, { end: 'complete' }> | undefined
  hasAnswer = false
  readonly #through = new Set<string>()
  readonly #wrong = new Map<string, number>()

  get size(): number {
    return this.#through.size
  }

  isThrough(name: string): boolean {
    return this.#through.has(name)
  }

  through(name: string, hasAnswered: boolean): void {
    this.#through.add(name)
    this.hasAnswer ||= hasAnswered
  }

  wrong(name: string): number {
    const count = (this.#wrong.get(name) ?? 0) + 1
    this.#wrong.set(name, count)
    return count
  }
}

class TooSlow extends Error {}

function budgetEnd({ detail }: Overrun): SourceEnd {
  return { end: 'refused', code: 'budget_bytes', detail }
}
