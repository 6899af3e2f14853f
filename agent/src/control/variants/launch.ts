import { Fault } from '@godwit/protocol/fault'
import type { Release } from '@godwit/protocol/release/release'
import type { FromRunner } from '../../runner/messages.ts'
import { Cage, type CageLimits, RunnerFailure } from '../cage.ts'
import { bundleDirectory } from '../deployment/staging.ts'
import type { Engine } from '../engine.ts'
import type { RunnerTerms } from '../fork-runner.ts'
import type { Log } from '../log.ts'
import type { Paths } from '../paths.ts'
import type { RunnerLedger } from '../runner-ledger.ts'
import type { Pair } from './pairs.ts'

export type LaunchDeps = {
  slot: string
  paths: Paths
  log: Log
  runnerScript: string
  ledger: RunnerLedger
  limits: CageLimits & RunnerTerms
  engine: Engine
  threads: number
  proofNonce: string
  /** Where readings come through a pipe: what a runner is to find as its standard input. */
  stdin?: () => number | undefined
}

export type Subject = { release: Release; releaseDigest: string }
export type Loaded = Extract<FromRunner, { type: 'loaded' }>

/**
 * A runner without a model, on the engine of this board.
 *
 * @throws Fault when none comes up: no release is to blame for that
 */
export async function startRunner(deps: LaunchDeps): Promise<Cage> {
  const { runnerScript: script, limits, log, ledger, engine } = deps
  const start = async () =>
    Cage.start({ script, limits, log, ledger, engine: await engine.current(), stdin: deps.stdin?.() })
  try {
    return await start().catch(async () => {
      // The board or its software may have changed under us: the engine is tried, and then the runner once more.
      await engine.doubt()
      return start()
    })
  } catch (cause) {
    throw new Fault('runner-missing', 'no runner comes up on this device', { cause })
  }
}

/**
 * Has a runner load one variant, on the first of these providers that will; it is killed if none will.
 *
 * @throws RunnerFailure
 */
export async function load(
  deps: LaunchDeps,
  cage: Cage,
  { release, releaseDigest }: Subject,
  variant: Pair['variant'],
  executionProviders: readonly string[],
): Promise<Loaded> {
  const modelFile = release.files[variant.file]!
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
      digests: Object.fromEntries(Object.entries(release.files).map(([path, file]) => [path, file.sha256])),
      ...(release.profile && { profile: release.profile }),
      executionProviders: [...executionProviders],
      threads: deps.threads,
      proofNonce: deps.proofNonce,
    })
    // The disk may have changed since the file was verified.
    if (loaded.loadedDigest !== modelFile.sha256)
      throw new RunnerFailure(
        'integrity',
        `loaded ${loaded.loadedDigest}, the release names ${modelFile.sha256}`,
      )
    return loaded
  } catch (error) {
    await cage.kill()
    throw error
  }
}
