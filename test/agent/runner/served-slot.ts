import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Cage, Exit, RunnerFailure } from '@godwit/agent/control/cage'
import { bundleDirectory } from '@godwit/agent/control/deployment/staging'
import { Engine, type EngineName } from '@godwit/agent/control/engine'
import { silentLog } from '@godwit/agent/control/log'
import { pathsIn } from '@godwit/agent/control/paths'
import { RunnerLedger } from '@godwit/agent/control/runner-ledger'
import { Serving, type ServingDeps, type WindowMessage } from '@godwit/agent/control/serving'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import type { Checkpoint } from '@godwit/agent/runner/messages'
import type { ActiveRelease } from '@godwit/protocol/messages/report'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import type { Release } from '@godwit/protocol/release/release'
import { onTestFinished } from 'vitest'
import { type Bundle, stage, temporaryFolder } from './bundle-on-disk.ts'

/** What a release holds besides the parts of a bundle; without variants it has one, `fp32` on the CPU. */
export type ReleaseOf = Bundle & {
  version?: string
  promises?: Release['promises']
  variants?: { name: string; model: Uint8Array; executionProviders?: string[] }[]
}

const realRunner = createRequire(import.meta.url).resolve('@godwit/agent/runner/main')

export const fastLimits: ServingDeps['limits'] = {
  startMsMax: 30_000,
  loadMsMax: 30_000,
  selfTestMsMax: 30_000,
  handOverMsMax: 15_000,
  hangMsMax: 30_000,
  memoryBytesMax: 2 ** 30,
  nice: 0,
}

/**
 * One slot of a device as control keeps it: real processes, real files, a recording that never ends; only the journal is
 * a variable. What it measured and lost stands in its lists.
 */
export class ServedSlot {
  readonly paths = pathsIn(temporaryFolder())
  readonly windows: WindowMessage[] = []
  readonly crashes: Exit[] = []
  readonly unusable: RunnerFailure[] = []
  readonly unproven: RunnerFailure[] = []
  readonly provenAgain: Omit<ActiveRelease, 'since'>[] = []
  readonly serving: Serving
  active: ActiveRelease | undefined
  cage: Cage | undefined
  #checkpoint: Checkpoint | undefined
  readonly #listeners = new Set<() => void>()

  constructor({ engineName = 'native', ...change }: Partial<ServingDeps> & { engineName?: EngineName } = {}) {
    const recording = join(this.paths.root, 'readings.csv')
    writeFileSync(recording, `t\n${Array.from({ length: 500 }, (_, i) => (i * 13) % 23).join('\n')}\n`)
    const runnerScript = change.runnerScript ?? realRunner
    const heard = (work: () => void) => {
      work()
      for (const look of [...this.#listeners]) look()
    }
    this.serving = new Serving({
      slot: 'main',
      paths: this.paths,
      log: silentLog,
      runnerScript,
      ledger: new RunnerLedger(this.paths, runnerScript, silentLog),
      limits: fastLimits,
      engine: fixedEngine(engineName),
      threads: 1,
      proofNonce: 'session-1',
      executionProviders: ['cpu'],
      prefer: 'latency',
      energyLabel: 'measured',
      sysfs: rootedSysfs(),
      meter: () => undefined,
      monotonicMs: () => performance.now(),
      nowMs: () => Date.now(),
      source: { kind: 'replay', path: recording, intervalMs: 2, loop: true },
      windowMs: () => 100,
      active: () => this.active,
      known: (digest) => (this.active?.releaseDigest === digest ? this.active : undefined),
      checkpoint: () => this.#checkpoint,
      random: () => 0,
      onWindow: (message, cage) =>
        heard(() => {
          this.#checkpoint = message.checkpoint ?? this.#checkpoint
          this.windows.push(message)
          cage.stored(message.window)
        }),
      onServing: (cage) =>
        heard(() => {
          this.cage = cage
        }),
      onProvider: (_digest, executionProvider) => {
        this.active = { ...this.active!, executionProvider }
      },
      onProvenAgain: (proven) => {
        this.active = { ...proven, since: 0 }
        heard(() => this.provenAgain.push(proven))
        return true
      },
      onUnproven: (failure) => heard(() => this.unproven.push(failure)),
      onCrash: (exit) => heard(() => this.crashes.push(exit)),
      onUnusable: (failure) => heard(() => this.unusable.push(failure)),
      onSourceEnded: () => {},
      onSource: () => {},
      onApi: () => {},
      ...change,
    })
    onTestFinished(() => this.serving.stop())
  }

  /** Lays a release out as a deployment does behind `staged`. Its digest. */
  place({ version = '1', promises = {}, variants, ...bundle }: ReleaseOf = {}): string {
    const order = stage(bundle)
    const only = [{ name: 'fp32', model: bundle.model, executionProviders: ['cpu'] }]
    const models = variants ?? only
    const files = new Map<string, Uint8Array>()
    for (const name of ['golden.json', 'pipeline.json', ...(order.profile ? ['profile.json'] : [])])
      files.set(name, readFileSync(join(order.directory, name)))
    if (variants) for (const { name, model } of variants) files.set(`${name}.onnx`, model)
    else files.set('fp32.onnx', readFileSync(join(order.directory, 'model.onnx')))
    const described = [...files].map(([name, bytes]) => [
      name,
      bytes.length > 0 ? describeFile(bytes) : order.modelFile,
    ])
    const release: Release = {
      format: 'godwit-release/1',
      model: 'mean',
      version,
      releaseCounter: 1,
      createdAt: '2026-11-20T00:00:00Z',
      files: Object.fromEntries(described),
      variants: models.map(({ name, executionProviders = ['cpu'] }) => {
        return { name, file: `${name}.onnx`, executionProviders, precision: 'fp32' }
      }),
      io: order.io,
      golden: 'golden.json',
      pipeline: 'pipeline.json',
      ...(order.profile && { profile: 'profile.json' }),
      requires: { opset: {}, irVersion: 8 },
      promises,
    }
    const document = new TextEncoder().encode(JSON.stringify(release))
    const digest = sha256Hex(document)
    for (const [name, bytes] of files) {
      const path = join(bundleDirectory(this.paths, digest), name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, bytes)
    }
    writeFileSync(join(this.paths.staged(digest), 'release.json'), document)
    return digest
  }

  /** Proves it and lets it take over. */
  async install(digest: string): Promise<ActiveRelease> {
    this.active = { ...(await this.serving.prove(digest)), since: 0 }
    await this.serving.reconcile()
    await this.until(() => this.windows.at(-1)?.record.releaseDigest === digest)
    return this.active
  }

  /** The code with which a release is turned down; undefined when it is not. */
  async refusal(digest: string): Promise<{ code: string; detail: string } | undefined> {
    try {
      await this.serving.prove(digest)
      return undefined
    } catch (error) {
      const { code, message } = error as RunnerFailure
      return { code, detail: message }
    }
  }

  /** Until it has heard of something that makes it true. */
  until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!isTrue()) return
        this.#listeners.delete(look)
        resolve()
      }
      this.#listeners.add(look)
      look()
    })
  }

  /** Two more windows of what serves now: it does, and control hears of it. */
  async goesOn(): Promise<void> {
    const before = this.windows.length
    await this.until(() => this.windows.length >= before + 2)
  }
}

export function fixedEngine(name: EngineName): Engine {
  return new Engine({
    setting: name,
    tryOut: () => Promise.reject(new Error('not asked for')),
    isKnownGood: () => true,
    knowGood() {},
    onRuntime() {},
    tell() {},
  })
}
