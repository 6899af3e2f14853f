import type { ActiveRelease } from '@godwit/protocol/messages/report'
import type { Release } from '@godwit/protocol/release/release'
import type { Checkpoint, FromRunner } from '../runner/messages.ts'
import type { SourceConfig } from '../runner/sources/source.ts'
import { Cage, type CageLimits, type Exit, RunnerFailure } from './cage.ts'
import { bundleDirectory, chooseVariant, readRelease } from './deployment/staging.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'
import type { RunnerLedger } from './runner-ledger.ts'

export type WindowMessage = Extract<FromRunner, { type: 'window' }>

export type ServingDeps = {
  slot: string
  paths: Paths
  log: Log
  runnerScript: string
  ledger: RunnerLedger
  limits: CageLimits
  source: SourceConfig
  executionProviders: readonly string[]
  threads: number
  proofNonce: string
  windowMs: () => number
  /** What the journal says this slot should serve now. */
  active: () => ActiveRelease | undefined
  checkpoint: () => Checkpoint | undefined
  random: () => number
  onWindow: (message: WindowMessage, cage: Cage) => void
  onServing: (cage: Cage) => void
  onCrash: (exit: Exit) => void
  /** It would not load, several times in a row. */
  onUnusable: (failure: RunnerFailure) => void
  onSourceEnded: () => void
}

type Held = { cage: Cage; releaseDigest: string }

const restartMsMin = 500
const restartMsMax = 60_000
const restartStableMs = 5 * 60_000
/** Crashes or failed loads in a row after which the last known good is asked for. */
const failuresMax = 3

/**
 * Keeps one slot served: brings the processes in line with what the journal says is active, and keeps it that way
 * through crashes. A candidate lives beside the active runner until it takes over or is put away.
 */
export class Serving {
  readonly #deps: ServingDeps
  #current: Held | undefined
  #candidate: Held | undefined
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #stable: NodeJS.Timeout | undefined
  #stopped = false
  #queue: Promise<unknown> = Promise.resolve()
  restarts = 0

  constructor(deps: ServingDeps) {
    this.#deps = deps
  }

  get isServing(): boolean {
    return this.#current !== undefined && !this.#current.cage.isGone
  }

  get rssBytes(): number {
    return (this.#current?.cage.rssBytes ?? 0) + (this.#candidate?.cage.rssBytes ?? 0)
  }

  holdsCandidate(releaseDigest: string): boolean {
    return this.#candidate?.releaseDigest === releaseDigest && !this.#candidate.cage.isGone
  }

  /**
   * Loads a release in a process of its own and asks it the publisher's golden vectors, on this hardware. The process
   * stays as the candidate. @throws RunnerFailure with the code of what went wrong
   */
  prove(releaseDigest: string): Promise<Omit<ActiveRelease, 'since'>> {
    return this.#inTurn(async () => {
      await this.#dropCandidate()
      const release = this.#release(releaseDigest)
      const { cage, loaded, variant } = await this.#launch(release, releaseDigest)
      try {
        const { p95Micros, memoryBytes } = release.promises
        const promises = {
          ...(p95Micros !== undefined && { p95Micros }),
          ...(memoryBytes !== undefined && { memoryBytes }),
        }
        const tested = await cage.selfTest(promises)
        // The runner judges the answers; time and memory are judged again here, by the party that is not the model's.
        if (p95Micros !== undefined && tested.p95Micros > p95Micros)
          throw new RunnerFailure(
            'selftest_latency',
            `p95 ${Math.round(tested.p95Micros)} µs, promised ${p95Micros} µs`,
          )
        if (memoryBytes !== undefined && tested.rssBytes > memoryBytes)
          throw new RunnerFailure('selftest_memory', `${tested.rssBytes} bytes, promised ${memoryBytes}`)
        this.#candidate = { cage, releaseDigest }
        const { model, version } = release
        const { executionProvider, loadedDigest } = loaded
        return {
          model,
          version,
          releaseDigest,
          variant,
          executionProvider,
          loadedDigest,
          proof: tested.proof,
        }
      } catch (error) {
        await cage.kill()
        throw error
      }
    })
  }

  /** A newer directive: the runner that serves takes it over as it is. */
  applySettings(): void {
    this.#current?.cage.settings({ windowMs: this.#deps.windowMs() })
  }

  async discardCandidate(): Promise<void> {
    await this.#inTurn(() => this.#dropCandidate())
  }

  /** Makes the processes agree with the journal. Swaps between two readings: the old one hands its place over. */
  reconcile(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#stopped) return
      clearTimeout(this.#timer)
      const active = this.#deps.active()
      if (!active) return this.#serveNothing()
      if (this.isServing && this.#current?.releaseDigest === active.releaseDigest) return
      await this.#swapTo(active)
    })
  }

  async #swapTo(active: ActiveRelease): Promise<void> {
    let next: Held
    if (this.holdsCandidate(active.releaseDigest)) next = this.#candidate!
    else {
      try {
        const release = this.#release(active.releaseDigest)
        next = {
          cage: (await this.#launch(release, active.releaseDigest, active.variant)).cage,
          releaseDigest: active.releaseDigest,
        }
      } catch (error) {
        this.#failedToStart(error)
        throw error
      }
    }
    this.#candidate = undefined
    const old = this.#current
    const checkpoint = await this.#handOver(old)
    // Set before it serves: its first window may come before the answer.
    next.cage.events = {
      window: (message) => this.#deps.onWindow(message, next.cage),
      sourceEnded: () => this.#deps.onSourceEnded(),
      exit: (exit) => this.#exited(next, exit),
    }
    this.#current = next
    this.#deps.onServing(next.cage)
    await old?.cage.stop()
    await next.cage.serve({
      source: this.#deps.source,
      windowMs: this.#deps.windowMs(),
      ...(checkpoint && { checkpoint }),
    })
    this.#deps.log.info({ slot: this.#deps.slot, version: active.version, pid: next.cage.pid }, 'serving')
    clearTimeout(this.#stable)
    this.#stable = setTimeout(() => {
      this.#failures = 0
    }, restartStableMs).unref()
  }

  /** A runner that cannot answer is not waited for: the last stored checkpoint is the place to go on from. */
  async #handOver(old: Held | undefined): Promise<Checkpoint | undefined> {
    if (old && !old.cage.isGone) {
      try {
        return await old.cage.handOver()
      } catch (error) {
        this.#deps.log.warn(
          { slot: this.#deps.slot, because: because(error) },
          'the old runner did not hand over',
        )
        await old.cage.kill()
      }
    }
    return this.#deps.checkpoint()
  }

  async #launch(release: Release, releaseDigest: string, variantName?: string) {
    const { deps } = { deps: this.#deps }
    const variant =
      release.variants.find(({ name }) => name === variantName) ??
      chooseVariant(release, deps.executionProviders)
    if (!variant)
      throw new RunnerFailure('unsupported_ep', `no variant runs on ${deps.executionProviders.join(', ')}`)
    const modelFile = release.files[variant.file]!
    const cage = await Cage.start(deps.runnerScript, deps.limits, deps.log, deps.ledger)
    try {
      const loaded = await cage.load({
        slot: deps.slot,
        model: release.model,
        version: release.version,
        releaseDigest,
        directory: bundleDirectory(deps.paths, releaseDigest),
        variant,
        modelFile,
        io: release.io,
        golden: release.golden,
        pipeline: release.pipeline,
        ...(release.profile && { profile: release.profile }),
        executionProviders: variant.executionProviders.filter((ep) => deps.executionProviders.includes(ep)),
        threads: deps.threads,
        proofNonce: deps.proofNonce,
      })
      // The disk may have changed since the file was verified.
      if (loaded.loadedDigest !== modelFile.sha256)
        throw new RunnerFailure(
          'integrity',
          `loaded ${loaded.loadedDigest}, the release names ${modelFile.sha256}`,
        )
      return { cage, loaded, variant: variant.name }
    } catch (error) {
      await cage.kill()
      throw error
    }
  }

  #release(releaseDigest: string): Release {
    const release = readRelease(this.#deps.paths, releaseDigest)
    if (typeof release === 'string') throw new RunnerFailure('integrity', release)
    return release
  }

  #exited(held: Held, exit: Exit): void {
    if (exit.expected || this.#stopped || this.#current !== held) return
    this.#current = undefined
    this.#deps.log.warn({ slot: this.#deps.slot, code: exit.code, because: exit.detail }, 'runner lost')
    this.#deps.onCrash(exit)
    this.#failed(new RunnerFailure(exit.code, exit.detail))
  }

  #failedToStart(error: unknown): void {
    this.#deps.log.error(
      { slot: this.#deps.slot, because: because(error) },
      'the active release did not start',
    )
    this.#failed(error instanceof RunnerFailure ? error : new RunnerFailure('internal', because(error)))
  }

  #failed(failure: RunnerFailure): void {
    this.#failures++
    this.restarts++
    if (this.#failures >= failuresMax && this.#failures % failuresMax === 0) this.#deps.onUnusable(failure)
    const ceiling = Math.min(restartMsMax, restartMsMin * 2 ** (this.#failures - 1))
    clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => void this.reconcile().catch(() => {}),
      ceiling * (0.5 + this.#deps.random() / 2),
    )
  }

  async #serveNothing(): Promise<void> {
    const old = this.#current
    await this.#handOver(old)
    this.#current = undefined
    await old?.cage.stop()
  }

  async #dropCandidate(): Promise<void> {
    const candidate = this.#candidate
    this.#candidate = undefined
    await candidate?.cage.stop()
  }

  /** The last window first, so that a stop loses nothing. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#stable)
    await this.#inTurn(async () => {
      await this.#dropCandidate()
      await this.#serveNothing()
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work)
    this.#queue = result.catch(() => {})
    return result
  }
}
