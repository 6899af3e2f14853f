import { Fault } from '@godwit/protocol/fault'
import type { ActiveRelease, Choice, Trial } from '@godwit/protocol/messages/report'
import type { EpochMs } from '@godwit/protocol/units'
import type { Meter } from '../../energy/meter.ts'
import type { Sysfs } from '../../energy/sysfs.ts'
import { type Cage, RunnerFailure } from '../cage.ts'
import { type Chosen, choose, nameOf, type Preference } from './choose.ts'
import { examine } from './examine.ts'
import { type LaunchDeps, load, type Subject, startRunner } from './launch.ts'
import { measuredOn } from './measured-on.ts'
import { type Pair, pairsOf } from './pairs.ts'

export type ProveDeps = LaunchDeps & {
  executionProviders: readonly string[]
  prefer: Preference
  /** The worst provenance on which a promise of joules is judged. */
  energyLabel: 'measured' | 'modelled'
  sysfs: Sysfs
  /** Undefined where this device has none that a model may be judged by. */
  meter: () => Meter | undefined
  monotonicMs: () => number
  nowMs: () => EpochMs
}

export type Proven = { cage: Cage; proven: Omit<ActiveRelease, 'since'> }

/** A pair that passed, in the process that it passed in. */
type Passed = { cage: Cage; trial: Trial; loadedDigest: string; proof: string }
type Made = Pick<Choice, 'at' | 'measuredOn'>

/**
 * Finds the variant of a release that suits this device best, and proves it in a process that may go on to serve.
 *
 * Where there is a choice, each one is loaded, asked the golden vectors and timed in a process of its own: one that
 * crashes, hangs or eats memory counts against itself only. The best of those that pass is proven once more in the
 * process that is kept; should it fail there, the next best gets its turn.
 *
 * @param known how it was proven earlier; that choice holds while runtime, hardware and policy are what they were
 * @throws RunnerFailure when none passes, with the code of the first
 */
export async function prove(
  deps: ProveDeps,
  subject: Subject,
  known: ActiveRelease | undefined,
  signal: AbortSignal,
): Promise<Proven> {
  const stand = new TestStand(deps, subject, signal)
  try {
    const { able, absent, measuredOn } = await stand.survey()
    const held = known?.choice?.measuredOn === measuredOn ? able.find((pair) => isOf(pair, known)) : undefined
    const again = held && (await stand.attempt(held, false))
    if (again && 'cage' in again) return provenOf(subject, again, known!.choice!)
    const made = { at: deps.nowMs(), measuredOn }
    const find = able.length === 1 || deps.prefer === 'order' ? firstThatPasses : bestThatPasses
    return await find(stand, able, absent, made)
  } finally {
    stand.leave()
  }
}

/** What a runner would be measured with now. */
export function circumstancesOf(deps: ProveDeps, { runtime }: Cage): string {
  const { executionProviders, prefer, threads, limits } = deps
  const { nice, cpus } = limits
  const policy = { executionProviders, prefer, threads, nice, ...(cpus !== undefined && { cpus }) }
  return measuredOn({
    runtime: runtime ?? { name: 'unknown', version: '', executionProviders: [] },
    ...policy,
  })
}

/** Nothing to compare: the one that there is, or the slot's order. */
async function firstThatPasses(
  stand: TestStand,
  able: readonly Pair[],
  absent: readonly Trial[],
  made: Made,
) {
  const trials: Trial[] = []
  for (const pair of able) {
    const passed = await stand.attempt(pair, true)
    trials.push(passed.trial)
    if (!('cage' in passed)) continue
    const all = [...trials, ...absent]
    const by = able.length > 1 ? 'order' : 'only'
    const why = `${nameOf(passed.trial)}: ${by === 'order' ? 'the first that passes' : 'the only one for this device'}`
    return provenOf(stand.subject, passed, { ...made, by, why, trials: all })
  }
  throw failureOf(trials)
}

async function bestThatPasses(stand: TestStand, able: readonly Pair[], absent: readonly Trial[], made: Made) {
  let trials: Trial[] = []
  for (const pair of able) {
    const tried = await stand.attempt(pair, true)
    trials.push(tried.trial)
    if ('cage' in tried) await tried.cage.stop()
  }
  for (;;) {
    const chosen: Chosen | undefined = choose(trials, stand.deps.prefer)
    if (!chosen) throw failureOf(trials)
    const { index, by, why } = chosen
    const tried = await stand.attempt(able[index]!, false)
    if ('cage' in tried) {
      // The figures that decided, not those of the last look.
      const passed = { ...tried, trial: trials[index]! }
      return provenOf(stand.subject, passed, { ...made, by, why, trials: [...trials, ...absent] })
    }
    trials = trials.map((trial, at) => (at === index ? tried.trial : trial))
  }
}

/** Where runners come and go while a release is tried; what it still holds when left is killed. */
class TestStand {
  readonly deps: ProveDeps
  readonly subject: Subject
  readonly #signal: AbortSignal
  readonly #abort = () => void this.#working?.kill()
  #working: Cage | undefined
  /** Started to ask what runs here; the first pair goes on in it. */
  #spare: Cage | undefined

  constructor(deps: ProveDeps, subject: Subject, signal: AbortSignal) {
    this.deps = deps
    this.subject = subject
    this.#signal = signal
    signal.addEventListener('abort', this.#abort)
  }

  leave(): void {
    this.#signal.removeEventListener('abort', this.#abort)
    void this.#spare?.kill()
  }

  async survey(): Promise<{ able: Pair[]; absent: Trial[]; measuredOn: string }> {
    const { executionProviders, engine } = this.deps
    this.#signal.throwIfAborted()
    this.#spare = await startRunner(this.deps)
    const here = this.#spare.runtime?.executionProviders ?? []
    const pairs = pairsOf(this.subject.release, executionProviders, await engine.current())
    const able = pairs.filter(({ executionProvider }) => here.includes(executionProvider))
    if (able.length === 0)
      throw new RunnerFailure(
        'unsupported_ep',
        `no variant for ${executionProviders.join(', ')} that runs here; this device has ${here.join(', ')}`,
      )
    const absent = pairs.filter((pair) => !able.includes(pair))
    return { able, absent: absent.map(absentTrial), measuredOn: circumstancesOf(this.deps, this.#spare) }
  }

  /** One pair in a process of its own, which is left running only if it passed. */
  async attempt(
    { variant, executionProvider }: Pair,
    withEnergy: boolean,
  ): Promise<Passed | { trial: Trial }> {
    this.#signal.throwIfAborted()
    const cage = this.#spare ?? (await startRunner(this.deps))
    this.#spare = undefined
    this.#working = cage
    try {
      // It may have come while the process started.
      this.#signal.throwIfAborted()
      const loaded = await load(this.deps, cage, this.subject, variant, [executionProvider])
      const about = { variant: variant.name, loaded }
      const { promises } = this.subject.release
      const { trial, proof } = await examine(this.deps, cage, about, promises, withEnergy)
      if (trial.code === 'ok') return { cage, trial, proof, loadedDigest: loaded.loadedDigest }
      await cage.kill()
      return { trial }
    } catch (error) {
      await cage.kill()
      this.#signal.throwIfAborted()
      if (!(error instanceof RunnerFailure)) throw error
      const { code, message } = error
      return { trial: { variant: variant.name, executionProvider, code, detail: message.slice(0, 256) } }
    } finally {
      this.#working = undefined
    }
  }
}

function provenOf({ release, releaseDigest }: Subject, passed: Passed, choice: Choice): Proven {
  const { model, version } = release
  const { cage, loadedDigest, proof } = passed
  const { variant, executionProvider } = passed.trial
  const trials = choice.trials.slice(0, 16)
  const proven = { model, version, releaseDigest, variant, executionProvider, loadedDigest, proof }
  return { cage, proven: { ...proven, choice: { ...choice, trials } } }
}

/** The first in the order of preference gives the code; with several, the words say what became of each. */
function failureOf(trials: readonly Trial[]): Error {
  const [first] = trials
  if (!first) return new Fault('nothing-tried', 'no variant was tried')
  const told = trials.map((trial) => `${nameOf(trial)}: ${trial.code}, ${trial.detail ?? ''}`)
  return new RunnerFailure(first.code, trials.length === 1 ? (first.detail ?? '') : told.join('; '))
}

function isOf({ variant, executionProvider }: Pair, known: ActiveRelease): boolean {
  return variant.name === known.variant && executionProvider === known.executionProvider
}

function absentTrial({ variant, executionProvider }: Pair): Trial {
  return { variant: variant.name, executionProvider, code: 'unsupported_ep', detail: 'not on this device' }
}
