import type { ActiveRelease } from '@godwit/protocol/messages/report'
import type { Release } from '@godwit/protocol/release/release'
import type { ApiConfig } from '../runner/api/api-config.ts'
import type { Checkpoint, FromRunner } from '../runner/messages.ts'
import type { SourceConfig } from '../runner/sources/source.ts'
import { type Cage, type Exit, RunnerFailure } from './cage.ts'
import { readRelease } from './deployment/staging.ts'
import { Listeners } from './listeners.ts'
import { because } from './log.ts'
import { Restarts } from './restarts.ts'
import { SourcePipe } from './source-pipe.ts'
import { load, startRunner } from './variants/launch.ts'
import { pairsOf } from './variants/pairs.ts'
import { circumstancesOf, type ProveDeps, prove } from './variants/prove.ts'

export type WindowMessage = Extract<FromRunner, { type: 'window' }>

export type ServingDeps = ProveDeps & {
  source: SourceConfig
  api?: ApiConfig
  windowMs: () => number
  /** What the journal says this slot should serve now. */
  active: () => ActiveRelease | undefined
  /** How a release was proven here before, if the journal still knows. */
  known: (releaseDigest: string) => ActiveRelease | undefined
  checkpoint: () => Checkpoint | undefined
  random: () => number
  onWindow: (message: WindowMessage, cage: Cage) => void
  onServing: (cage: Cage) => void
  /** It runs on another execution provider than it was proven on: that one is not there any more. */
  onProvider: (releaseDigest: string, executionProvider: string) => void
  /**
   * The active release was proven with another runtime, hardware or policy, and now is again, or cannot be. False: there
   * is something more important to do, and the choice stays as it was.
   */
  onProvenAgain: (proven: Omit<ActiveRelease, 'since'>) => boolean
  onUnproven: (failure: RunnerFailure) => void
  onCrash: (exit: Exit) => void
  /** It would not load, several times in a row. */
  onUnusable: (failure: RunnerFailure) => void
  onSourceEnded: () => void
  /** Why there are no readings; undefined: there are again. */
  onSource: (because: string | undefined) => void
  onApi: ConstructorParameters<typeof Listeners>[2]
}

type Held = { cage: Cage; releaseDigest: string; variant: string; executionProvider: string }

/** Longer than a client keeps a connection that nothing was said on, and than an answer takes. */
const lingerMs = 7_000

/**
 * Keeps one slot served: brings the processes in line with what the journal says is active, and keeps it that way
 * through crashes. A candidate lives beside the active runner until it takes over or is put away.
 */
export class Serving {
  readonly #deps: ServingDeps
  #current: Held | undefined
  #candidate: Held | undefined
  #stopped = false
  readonly #restarts: Restarts
  readonly #listeners: Listeners
  readonly #pipe: SourcePipe
  /** Runners that were replaced and still answer callers. */
  #retired: Promise<unknown> = Promise.resolve()
  /** Swaps, one after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  /** Proofs, one after the other and beside the swaps: what serves is started again even while a candidate hangs. */
  #proofs: Promise<unknown> = Promise.resolve()
  readonly #leaving = new AbortController()
  #again: AbortController | undefined

  constructor(deps: ServingDeps) {
    this.#listeners = new Listeners(deps.api, deps.log, deps.onApi)
    this.#pipe = new SourcePipe(deps.source, deps.log)
    this.#deps = { ...deps, stdin: () => this.#pipe.fd }
    this.#restarts = new Restarts({ ...deps, again: () => void this.reconcile().catch(() => {}) })
  }

  /** Of runners that failed, ever. */
  get restarts(): number {
    return this.#restarts.count
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
   * Finds the release's best variant for this device and proves it, in processes of its own. The last one stays as the
   * candidate. @throws RunnerFailure with the code of what went wrong; the signal's reason when that aborts
   */
  prove(releaseDigest: string, signal?: AbortSignal): Promise<Omit<ActiveRelease, 'since'>> {
    // A deployment comes before second thoughts about what serves.
    this.#again?.abort(new Error('a deployment goes first'))
    return this.#prove(releaseDigest, signal)
  }

  #prove(releaseDigest: string, signal?: AbortSignal): Promise<Omit<ActiveRelease, 'since'>> {
    const proof = this.#proofs.then(async () => {
      const until = signal ? AbortSignal.any([signal, this.#leaving.signal]) : this.#leaving.signal
      await this.#inTurn(() => this.#dropCandidate())
      const subject = { release: this.#release(releaseDigest), releaseDigest }
      const { cage, proven } = await prove(this.#deps, subject, this.#deps.known(releaseDigest), until)
      if (until.aborted) {
        await cage.kill()
        until.throwIfAborted()
      }
      const { variant, executionProvider } = proven
      this.#candidate = { cage, releaseDigest, variant, executionProvider }
      return proven
    })
    this.#proofs = proof.catch(() => {})
    return proof
  }

  /** A newer directive: the runner that serves takes it over as it is. */
  applySettings(): void {
    this.#current?.cage.settings({ windowMs: this.#deps.windowMs() })
  }

  async discardCandidate(releaseDigest?: string): Promise<void> {
    await this.#inTurn(async () => {
      if (releaseDigest === undefined || this.#candidate?.releaseDigest === releaseDigest)
        await this.#dropCandidate()
    })
  }

  /** Makes the processes agree with the journal. Swaps between two readings: the old one hands its place over. */
  reconcile(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#stopped) return
      this.#restarts.begun()
      try {
        await this.#agree()
      } catch (error) {
        if (!this.#stopped) this.#restarts.heldUp()
        throw error
      }
    })
  }

  async #agree(): Promise<void> {
    const active = this.#deps.active()
    if (!active) return this.#serveNothing()
    if (this.isServing && this.#current && isSame(this.#current, active)) return
    await this.#swapTo(active)
  }

  async #swapTo(active: ActiveRelease): Promise<void> {
    const next = this.#takeCandidate(active) ?? (await this.#started(active))
    const old = this.#current
    const checkpoint = await this.#handOver(old).catch(async (error: unknown) => {
      await next.cage.stop()
      throw error
    })
    // Set before it serves: its first window may come before the answer.
    next.cage.events = {
      window: (message) => this.#deps.onWindow(message, next.cage),
      sourceEnded: () => this.#deps.onSourceEnded(),
      source: (because) => this.#deps.onSource(because),
      exit: (exit) => this.#exited(next, exit),
    }
    this.#current = next
    this.#deps.onServing(next.cage)
    if (next.executionProvider !== active.executionProvider)
      this.#deps.onProvider(active.releaseDigest, next.executionProvider)
    if (!this.#listeners.isOn) await old?.cage.stop()
    try {
      await next.cage.serve({
        source: this.#deps.source,
        windowMs: this.#deps.windowMs(),
        ...(checkpoint && { checkpoint }),
      })
      this.#listeners.lendTo(next.cage)
    } finally {
      // Not waited for: it answers who is still connected to it, while the other serves already.
      if (old && this.#listeners.isOn) this.#retire(old)
    }
    this.#deps.log.info({ slot: this.#deps.slot, version: active.version, pid: next.cage.pid }, 'serving')
    this.#restarts.serves()
    void this.#proveAgain(next, active)
  }

  /** The one that has just proven itself to be what the journal says; anybody else's stays where it is. */
  #takeCandidate(active: ActiveRelease): Held | undefined {
    const candidate = this.#candidate
    if (!candidate || candidate.cage.isGone || !isSame(candidate, active)) return undefined
    this.#candidate = undefined
    return candidate
  }

  async #started(active: ActiveRelease): Promise<Held> {
    try {
      return await this.#launch(active)
    } catch (error) {
      this.#failedToStart(error)
      throw error
    }
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

  /** What the journal says, on what it was proven on; where that is not there any more, on what else the policy allows. */
  async #launch(active: ActiveRelease): Promise<Held> {
    const { releaseDigest } = active
    const release = this.#release(releaseDigest)
    const cage = await startRunner(this.#deps)
    const pairs = pairsOf(release, this.#deps.executionProviders, await this.#deps.engine.current())
    const variant =
      release.variants.find(({ name }) => name === active.variant) ??
      pairs[0]?.variant ??
      release.variants[0]!
    const allowed = pairs.filter((pair) => pair.variant === variant).map((pair) => pair.executionProvider)
    const providers = [...new Set([active.executionProvider, ...allowed])].filter((name) =>
      allowed.includes(name),
    )
    const { executionProvider } = await load(this.#deps, cage, { release, releaseDigest }, variant, providers)
    return { cage, releaseDigest, variant: variant.name, executionProvider }
  }

  /**
   * Figures that were taken with another runtime, on another board or under another policy say nothing any more. What
   * serves goes on serving meanwhile, and for good if it cannot be proven again.
   */
  async #proveAgain({ cage, releaseDigest }: Held, active: ActiveRelease): Promise<void> {
    if (this.#again || active.choice?.measuredOn === circumstancesOf(this.#deps, cage)) return
    const again = new AbortController()
    this.#again = again
    try {
      const proven = await this.#prove(releaseDigest, again.signal)
      if (this.#deps.onProvenAgain(proven)) await this.reconcile()
    } catch (error) {
      if (error instanceof RunnerFailure) this.#deps.onUnproven(error)
    } finally {
      this.#again = undefined
      await this.discardCandidate(releaseDigest)
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
    this.#restarts.failed(new RunnerFailure(exit.code, exit.detail))
  }

  #failedToStart(error: unknown): void {
    this.#deps.log.error(
      { slot: this.#deps.slot, because: because(error) },
      'the active release did not start',
    )
    this.#restarts.failed(error)
  }

  #retire({ cage }: Held): void {
    const before = this.#retired
    this.#retired = cage.stop(lingerMs).then(() => before)
  }

  async #serveNothing(): Promise<void> {
    const old = this.#current
    this.#listeners.close()
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
    this.#leaving.abort(new Error('stopping'))
    await this.#proofs
    this.#restarts.stop()
    await this.#inTurn(async () => {
      await this.#dropCandidate()
      await this.#serveNothing()
    })
    await this.#retired
    this.#pipe.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work)
    this.#queue = result.catch(() => {})
    return result
  }
}

function isSame(held: Held, { releaseDigest, variant, executionProvider }: ActiveRelease): boolean {
  return (
    held.releaseDigest === releaseDigest &&
    held.variant === variant &&
    held.executionProvider === executionProvider
  )
}
