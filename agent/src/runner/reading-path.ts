import type { CountersSnapshot } from '@godwit/protocol/drift/counters'
import type { Profile } from '@godwit/protocol/drift/profile'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import type { Clock } from './clock.ts'
import { driftNextOf, withIndex } from './drift-indexes.ts'
import { DriftWatch, type SavedDrift } from './drift-watch.ts'
import type { Checkpoint } from './messages.ts'
import { decisiveValue } from './pipeline/decision.ts'
import { type Episode, Episodes, episodeEvent } from './pipeline/episodes.ts'
import { Ring } from './pipeline/ring.ts'
import type { Session, Tensors } from './session/session.ts'
import type { Reading } from './sources/source.ts'
import type { Serves, WindowTally } from './window-tally.ts'

export type PathParts = {
  session: Session
  pipeline: Pipeline
  /** Of the tensor that the model takes; by itself `[1, window, fields]`. */
  inputShape?: readonly number[]
  profile?: Profile | undefined
  serves: Serves
  tally: WindowTally
  clock: Clock
  checkpoint?: Checkpoint | undefined
}

/** What happens to one reading: ring, model, decision, counters. Everything it needs is made once, before the first. */
export class ReadingPath {
  readonly #session: Session
  readonly #outputs: readonly string[]
  readonly #decision: Pipeline['decision']
  readonly #serves: Serves
  readonly #tally: WindowTally
  readonly #clock: Clock
  readonly #ring: Ring
  readonly #feeds: Tensors
  readonly #drift: DriftWatch | undefined
  readonly #driftNext: Readonly<Record<string, number>>
  readonly #episodes: Episodes
  /** Kinds of errors already told since this process started. */
  readonly #toldErrors = new Set<string>()

  constructor({ session, pipeline, inputShape, profile, serves, tally, clock, checkpoint }: PathParts) {
    this.#session = session
    this.#outputs = pipeline.outputs
    this.#decision = pipeline.decision
    this.#serves = serves
    this.#tally = tally
    this.#clock = clock
    this.#ring = new Ring(pipeline.fields, pipeline.window)
    if (checkpoint) this.#ring.restore(checkpoint.fields, checkpoint.ring)
    this.#feeds = Object.assign(Object.create(null), {
      [pipeline.input]: session.tensor(
        'float32',
        inputShape ?? [1, pipeline.window, pipeline.fields.length],
        this.#ring.data,
      ),
    })
    this.#driftNext = driftNextOf(checkpoint)
    this.#drift = profile && new DriftWatch(pipeline, profile, savedDrift(serves, checkpoint))
    this.#episodes = this.#resumeEpisodes(checkpoint)
  }

  /** True when the window should close now, whatever the time: it holds as many drift windows as a record may. */
  get isFull(): boolean {
    return this.#drift !== undefined && this.#tally.drift.length >= this.#drift.windowsMax
  }

  /** Returns the monotonic time at which it was done. */
  async take(reading: Reading): Promise<number> {
    const startedMs = this.#clock.monotonicMs()
    const { values } = reading
    this.#tally.readings++
    if (reading.isFirst) this.#beginAnew()
    if (!this.#ring.push(reading.at, values)) {
      this.#failed('missing', reading, 'a field has no finite number')
      return startedMs
    }
    if (!this.#ring.isFull) {
      this.#tally.warmUp++
      this.#drift?.pass(values)
      this.#quiet()
      return startedMs
    }
    let answer: Tensors
    try {
      answer = await this.#session.run(this.#feeds, this.#outputs)
    } catch (error) {
      this.#failed('run', reading, (error as Error).message)
      return this.#clock.monotonicMs()
    }
    const value = this.#decision ? decisiveValue(answer[this.#decision.output]!) : 0
    if (!Number.isFinite(value)) {
      this.#failed('not_finite', reading, `output ${this.#decision?.output} is ${value}`)
      return this.#clock.monotonicMs()
    }
    this.#watch(values, answer)
    if (this.#decision && value > this.#decision.above) this.#anomaly(reading, value)
    else this.#quiet()
    const doneMs = this.#clock.monotonicMs()
    this.#tally.inferred((doneMs - startedMs) * 1000)
    return doneMs
  }

  /** Everything of a checkpoint but the source's place. */
  snapshot(): Omit<Checkpoint, 'source'> {
    const { releaseDigest } = this.#serves
    const { counters, previous } = this.#drift?.snapshot() ?? { counters: undefined, previous: {} }
    const snapshot: Omit<Checkpoint, 'source'> = {
      fields: [...this.#ring.fields],
      ring: this.#ring.snapshot(),
      previous,
    }
    if (counters) snapshot.drift = { releaseDigest, state: counters }
    snapshot.driftNext = withIndex(this.#driftNext, releaseDigest, counters?.index)
    if (this.#episodes.open) snapshot.episode = { releaseDigest, state: { ...this.#episodes.open } }
    return snapshot
  }

  /** Nothing follows: an episode that is open has ended. */
  endOfSource(): void {
    this.#report(this.#episodes.end())
  }

  /** The end of one recording and the beginning of the next are no stretch that a model was ever shown. */
  #beginAnew(): void {
    this.#ring.clear()
    this.#drift?.forget()
    this.#report(this.#episodes.end())
  }

  #watch(values: Reading['values'], answer: Tensors | undefined): void {
    const window = this.#drift?.observe(values, answer)
    if (window) this.#tally.drift.push(window)
  }

  #anomaly(reading: Reading, value: number): void {
    this.#tally.anomalies++
    this.#report(this.#episodes.anomaly(reading, value))
  }

  #quiet(): void {
    this.#report(this.#episodes.quiet())
  }

  #report(episode: Episode | undefined): void {
    if (!episode) return
    const { slot, releaseDigest } = this.#serves
    this.#tally.events.push(episodeEvent(episode, { slot, releaseDigest, threshold: this.#decision?.above }))
  }

  /** Counted each time, told as an event once per kind: the counts are for machines, the first reason for a person. */
  #failed(kind: 'missing' | 'run' | 'not_finite', reading: Reading, reason: string): void {
    this.#tally.errors++
    if (this.#ring.isFull) this.#watch(reading.values, undefined)
    else this.#drift?.pass(reading.values)
    this.#quiet()
    if (this.#toldErrors.has(kind)) return
    this.#toldErrors.add(kind)
    const { slot, releaseDigest } = this.#serves
    const position = reading.position ?? String(reading.at)
    this.#tally.events.push({
      kind: 'inference_error',
      key: `${releaseDigest.slice(0, 12)}:${kind}:${position}`,
      at: reading.at,
      slot,
      releaseDigest,
      severity: 'warning',
      detail: { kind, position, reason: reason.slice(0, 1_000) },
    })
  }

  /** What another release had found and could not see end is reported as it stands. */
  #resumeEpisodes(checkpoint: Checkpoint | undefined): Episodes {
    if (!checkpoint?.episode) return new Episodes()
    const { releaseDigest, state } = checkpoint.episode
    const resumed = new Episodes({ ...(state as Episode) })
    if (releaseDigest === this.#serves.releaseDigest) return resumed
    const ended = resumed.end()
    const about = { slot: this.#serves.slot, releaseDigest, threshold: undefined }
    if (ended) this.#tally.events.push(episodeEvent(ended, about))
    return new Episodes()
  }
}

function savedDrift({ releaseDigest }: Serves, checkpoint: Checkpoint | undefined): SavedDrift | undefined {
  if (!checkpoint) return undefined
  const isOurs = checkpoint.drift?.releaseDigest === releaseDigest
  const counters = isOurs ? (checkpoint.drift?.state as CountersSnapshot) : undefined
  const firstIndex = driftNextOf(checkpoint)[releaseDigest] ?? 0
  return { counters, firstIndex, previous: checkpoint.previous }
}
