import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { ActiveRelease } from '@godwit/protocol/messages/report'
import type { Phase } from '@godwit/protocol/phase'
import type { SlotConfig } from '../config/slot-config.ts'
import type { Sysfs } from '../energy/sysfs.ts'
import type { CageLimits } from './cage.ts'
import type { Clock, TrustedTime } from './clock.ts'
import { Deployer } from './deployment/deployer.ts'
import { isAtRest } from './deployment/deployment.ts'
import type { Hindrance } from './deployment/hindrance.ts'
import type { Deployment, Journal } from './deployment/journal.ts'
import type { Downloader } from './download/download.ts'
import type { Engine } from './engine.ts'
import type { occurrences } from './events.ts'
import { Fallback } from './fallback/fallback.ts'
import type { RunnerTerms } from './fork-runner.ts'
import { Intake } from './intake.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'
import type { RunnerLedger } from './runner-ledger.ts'
import { Serving } from './serving.ts'
import type { Spool } from './spool/spool.ts'
import type { Database } from './state/database.ts'
import { readCheckpoint } from './state/memory.ts'
import type { Trust } from './trust/trust.ts'
import { benchMeter } from './variants/bench-energy.ts'
import { SlotEnergy } from './windows.ts'

/** What all slots of a device share. */
export type SlotDeps = {
  paths: Paths
  database: Database
  journal: Journal
  spool: Spool
  trust: Trust
  pinnedRoot: Uint8Array
  downloader: Downloader
  time: TrustedTime
  clock: Clock
  random: () => number
  log: Log
  sysfs: Sysfs
  runnerScript: string
  ledger: RunnerLedger
  engine: Engine
  limits: CageLimits & RunnerTerms
  opsetMax: () => number | undefined
  isLinkUp: () => boolean
  hindrance: (phase: Phase, goal: SlotGoal | undefined) => Hindrance | undefined
  onRuntime: (runtime: { name: string; version: string; executionProviders: string[] }) => void
  onChange: () => void
  recordEnd: (slot: string, deployment: Deployment) => void
  onEnd: () => void
  onStored: () => void
  onBytes: (slot: string, done: number, total: number) => void
  happened: ReturnType<typeof occurrences>
}

const windowMsDefault = 60_000

/** One place that a model serves in: who serves, what comes next, and what was measured. */
export class Slot {
  readonly name: string
  readonly serving: Serving
  readonly deployer: Deployer
  readonly #energy: SlotEnergy
  readonly #intake: Intake
  readonly #fallback: Fallback | undefined
  readonly #deps: SlotDeps

  constructor(name: string, config: SlotConfig, deps: SlotDeps) {
    this.name = name
    this.#deps = deps
    const { database, journal, trust, clock, spool } = deps
    this.#energy = new SlotEnergy(deps.sysfs, clock.monotonicMs())
    this.serving = new Serving({
      ...config,
      slot: name,
      paths: deps.paths,
      log: deps.log,
      runnerScript: deps.runnerScript,
      ledger: deps.ledger,
      engine: deps.engine,
      limits: deps.limits,
      sysfs: deps.sysfs,
      meter: () => benchMeter(deps.sysfs),
      monotonicMs: () => clock.monotonicMs(),
      nowMs: () => deps.time.nowMs(),
      proofNonce: spool.session,
      random: deps.random,
      windowMs: () => trust.directive?.telemetry.windowMs ?? windowMsDefault,
      active: () => journal.read(name).active,
      known: (releaseDigest) => this.#known(releaseDigest),
      checkpoint: () => this.#intake.pendingCheckpoint ?? readCheckpoint(database, name),
      onWindow: (message, cage) => this.#intake.take(message, cage),
      onServing: (cage) => {
        this.#energy.servedBy(cage.pid)
        if (cage.runtime) deps.onRuntime(cage.runtime)
      },
      onProvider: (releaseDigest, executionProvider) => {
        this.#tell('provider_changed', 'warning', { executionProvider })
        this.#attempt('cannot store where the model runs', () =>
          this.#amend(releaseDigest, { executionProvider }),
        )
      },
      onProvenAgain: (proven) => this.#provenAgain(proven),
      onUnproven: ({ code, message }) => this.#tell('active_unproven', 'alarm', { code, because: message }),
      onCrash: ({ code, detail }) => {
        this.#tell('runner_crashed', 'warning', { code, because: detail })
        this.#attempt('cannot store a crash', () => this.deployer.observeCrash())
      },
      onUnusable: ({ code, message }) => {
        const fellBack = this.#attempt('cannot fall back', () => this.deployer.activeUnusable(code, message))
        this.#tell('active_unusable', 'alarm', { code, because: message, fellBack: fellBack ?? false })
        if (!fellBack) void this.#fallback?.replace(code, message)
      },
      onSourceEnded: () => this.#tell('source_ended', 'info', {}),
      onSource: (because) =>
        because === undefined
          ? this.#tell('source_available', 'info', {})
          : this.#tell('source_unavailable', 'alarm', { because }),
      onApi: (api, trouble) =>
        trouble === undefined
          ? this.#tell('api_available', 'info', { api })
          : this.#tell('api_unavailable', 'alarm', { api, ...trouble }),
    })
    this.deployer = new Deployer({
      ...deps,
      slot: name,
      executionProviders: config.executionProviders,
      serving: this.serving,
      desired: () => {
        const directive = trust.directive
        return directive && { goal: directive.slots[name], directiveVersion: directive.version }
      },
      hindrance: (phase, goal) => deps.hindrance(phase, goal),
      onBytes: (done, total) => deps.onBytes(name, done, total),
      recordEnd: (deployment) => deps.recordEnd(name, deployment),
    })
    this.#fallback = config.fallback === undefined ? undefined : this.#fallbackIn(config.fallback)
    this.#intake = new Intake({
      slot: name,
      database,
      spool,
      energy: this.#energy,
      time: deps.time,
      monotonicMs: () => clock.monotonicMs(),
      log: deps.log,
      observe: (record) => this.deployer.observeWindow(record),
      onStored: () => {
        this.#attempt('cannot go on', () => {
          this.deployer.windowStored()
          deps.onStored()
        })
      },
      // The report tells the free space; an event would need the very disk.
      onHeldUp: () => deps.onChange(),
      onRecovered: (outage) => {
        this.#tell('storage_recovered', outage.windowsDropped > 0 ? 'alarm' : 'warning', outage)
        deps.onChange()
      },
    })
  }

  /** Repairs what a power cut left, then serves, then goes on with the deployment. */
  start(): void {
    this.#attempt('cannot put the journal right', () => {
      if (this.#deps.journal.repair(this.name))
        this.#tell('state_repaired', 'warning', { from: 'pointer file' })
      this.deployer.recover()
    })
    void this.serving.reconcile().catch(() => {})
    this.deployer.start()
    void this.#fallback?.start()
  }

  /** Releases that this slot may still serve; undefined while it is not known which. */
  get kept(): string[] | undefined {
    if (this.#fallback?.isLookedAt === false) return undefined
    const { active, lastKnownGood } = this.#deps.journal.read(this.name)
    const digests = [active?.releaseDigest, lastKnownGood?.releaseDigest, this.#fallback?.releaseDigest]
    return digests.filter((digest) => digest !== undefined)
  }

  /** A newer directive was taken. */
  directed(): void {
    this.serving.applySettings()
    this.deployer.kick()
  }

  /** Called every second. */
  sample(): void {
    const { active } = this.#deps.journal.read(this.name)
    this.#energy.sample(this.#deps.clock.monotonicMs(), active?.releaseDigest ?? '')
  }

  async stop(): Promise<void> {
    this.#fallback?.stop()
    await this.deployer.stop()
    await this.serving.stop()
    this.#intake.stop()
  }

  #fallbackIn(directory: string): Fallback {
    const { paths, pinnedRoot, journal, time } = this.#deps
    return new Fallback({
      slot: this.name,
      directory,
      paths,
      pinnedRoot,
      journal,
      serving: this.serving,
      nowMs: () => time.nowMs(),
      giveUp: (code, detail) => this.deployer.activeUnusable(code, detail),
      onServing: () => this.#deps.onChange(),
      tell: (kind, severity, detail) => this.#tell(kind, severity, detail),
    })
  }

  #known(releaseDigest: string): ActiveRelease | undefined {
    const { active, lastKnownGood, deployment } = this.#deps.journal.read(this.name)
    return [deployment.candidate, active, lastKnownGood].find((one) => one?.releaseDigest === releaseDigest)
  }

  /** Between deployments only: half way through one, what is active is not this release's to change. */
  #provenAgain(proven: Omit<ActiveRelease, 'since'>): boolean {
    const { active, deployment } = this.#deps.journal.read(this.name)
    if (!isAtRest(deployment.phase)) return false
    if (proven.variant !== active?.variant || proven.executionProvider !== active.executionProvider)
      this.#tell('variant_changed', 'info', {
        variant: proven.variant,
        executionProvider: proven.executionProvider,
        because: proven.choice?.why ?? '',
      })
    return this.#attempt('cannot store a choice', () => this.#amend(proven.releaseDigest, proven)) ?? false
  }

  /** The same release, served otherwise. */
  #amend(releaseDigest: string, change: Partial<ActiveRelease>): boolean {
    const { journal } = this.#deps
    const { active, lastKnownGood, deployment } = journal.read(this.name)
    if (active?.releaseDigest !== releaseDigest) return false
    const releases = { active: { ...active, ...change }, ...(lastKnownGood && { lastKnownGood }) }
    journal.writeReleases(this.name, releases, deployment)
    this.#deps.onChange()
    return true
  }

  /** What needs the disk must not keep the model from serving when the disk is full. */
  #attempt<T>(what: string, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      this.#deps.log.error({ slot: this.name, because: because(error) }, what)
      return undefined
    }
  }

  #tell(
    kind: string,
    severity: 'info' | 'warning' | 'alarm',
    detail: Record<string, string | number | boolean>,
  ): void {
    const active = this.#attempt('cannot read the journal', () => this.#deps.journal.read(this.name).active)
    const about = { slot: this.name, ...(active && { releaseDigest: active.releaseDigest }) }
    this.#deps.happened(kind, severity, detail, about)
  }
}
