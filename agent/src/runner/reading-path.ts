import type { CountersSnapshot } from '@godwit/protocol/drift/counters'
import type { Profile } from '@godwit/protocol/drift/profile'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import type { EpochMs } from '@godwit/protocol/units'
import { RequestFields } from './api/request-fields.ts'
import type { Clock } from './clock.ts'
import { driftNextOf, withIndex } from './drift-indexes.ts'
import { DriftWatch, type SavedDrift } from './drift-watch.ts'
import type { Checkpoint } from './messages.ts'
import { decisiveValue } from './pipeline/decision.ts'
import { type Episode, Episodes, episodeEvent } from './pipeline/episodes.ts'
import { FeatureStep } from './pipeline/feature-step.ts'
import { Ring } from './pipeline/ring.ts'
import type { Session, Tensors } from './session/session.ts'
import type { Reading } from './sources/source.ts'
import type { Serves, WindowTally } from './window-tally.ts'

export type PathParts = {
  session: Session
  pipeline: Pipeline
  /** Of the tensor of readings; by itself `[1, window, fields]`. */
  inputShape?: readonly number[]
  /** Of the pipeline's features graph, if it has one. */
  featureSession?: Session | undefined
  profile?: Profile | undefined
  serves: Serves
  tally: WindowTally
  clock: Clock
  checkpoint?: Checkpoint | undefined
  /** Requests to the local inference API are what the profile is held against, there being no other readings. */
  watchRequests?: boolean
}

type ErrorKind = 'malformed' | 'missing' | 'run' | 'not_finite' | 'request'

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
  readonly #input: string
  readonly #features: FeatureStep | undefined
  readonly #stride: number
  /** Readings that only fill the window before the next inference. */
  #untilInference = 0
  readonly #drift: DriftWatch | undefined
  readonly #driftNext: Readonly<Record<string, number>>
  readonly #episodes: Episodes
  #requests: RequestFields | undefined
  /** Kinds of errors already told since this process started. */
  readonly #toldErrors = new Set<string>()

  constructor(parts: PathParts) {
    const { session, pipeline, inputShape, profile, serves, tally, clock, checkpoint } = parts
    this.#session = session
    this.#outputs = pipeline.outputs
    this.#decision = pipeline.decision
    this.#serves = serves
    this.#tally = tally
    this.#clock = clock
    this.#ring = new Ring(pipeline.fields, pipeline.window)
    if (checkpoint) this.#ring.restore(checkpoint.fields, checkpoint.ring)
    this.#stride = pipeline.stride ?? 1
    this.#untilInference = Math.min(checkpoint?.untilInference ?? 0, this.#stride - 1)
    const shape = inputShape ?? [1, pipeline.window, pipeline.fields.length]
    const { features } = pipeline
    const taker = features ? parts.featureSession! : session
    const readings = taker.tensor('float32', shape, this.#ring.data)
    this.#features = features && new FeatureStep(taker, features, pipeline, readings)
    this.#input = pipeline.input
    this.#feeds = Object.assign(Object.create(null), { [pipeline.input]: readings })
    this.#driftNext = driftNextOf(checkpoint)
    this.#drift = profile && new DriftWatch(pipeline, profile, savedDrift(serves, checkpoint))
    this.#requests =
      profile && parts.watchRequests ? RequestFields.of(pipeline, profile, shape.length) : undefined
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
    if (reading.flaw !== undefined) {
      this.#failed('malformed', reading, reading.flaw)
      return startedMs
    }
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
    if (this.#untilInference > 0) {
      this.#untilInference--
      this.#tally.warmUp++
      this.#drift?.pass(values)
      return startedMs
    }
    this.#untilInference = this.#stride - 1
    let answer: Tensors
    let made: Tensors | undefined
    try {
      if (this.#features) made = await this.#runFeatures(this.#features)
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
    this.#watch(values, answer, made)
    if (this.#decision && value > this.#decision.above) this.#anomaly(reading, value)
    else this.#quiet()
    const doneMs = this.#clock.monotonicMs()
    this.#tally.inferred((doneMs - startedMs) * 1000)
    return doneMs
  }

  /**
   * A request to the local inference API: a reading that brings its own window along. Counted as any other, apart from
   * episodes, which are of a stream. Whatever is wrong with it, the caller is told and the next reading is not touched.
   *
   * @param asked outputs that the caller wants; those that decide or are watched are fetched besides
   */
  async answer(feeds: Tensors, asked: readonly string[]): Promise<Tensors> {
    const startedMs = this.#clock.monotonicMs()
    const wanted = this.#requests ? this.#outputs : this.#decision ? [this.#decision.output] : []
    let answer: Tensors
    try {
      answer = await this.#session.run(feeds, [...new Set([...asked, ...wanted])])
    } catch (error) {
      this.#tally.requested()
      this.#tally.errors++
      this.#tellOnce('request', `api-${this.#clock.now()}`, this.#clock.now(), (error as Error).message)
      throw error
    }
    // Only now: a window may have closed meanwhile, and what became of a reading belongs into the same one.
    this.#tally.requested()
    const value = this.#decision ? decisiveValue(answer[this.#decision.output]!) : 0
    if (Number.isFinite(value)) {
      this.#tally.inferred((this.#clock.monotonicMs() - startedMs) * 1000)
      if (this.#decision && value > this.#decision.above) this.#tally.anomalies++
      this.#watchRequest(feeds, answer)
    } else {
      this.#tally.errors++
      const reason = `output ${this.#decision?.output} is ${value}`
      this.#tellOnce('request', `api-${this.#clock.now()}`, this.#clock.now(), reason)
    }
    return answer
  }

  /** The counters have gone into a checkpoint: what is still answered is counted, and not held against the profile. */
  handedOver(): void {
    this.#requests = undefined
  }

  #watchRequest(feeds: Tensors, answer: Tensors): void {
    const seen = this.isFull ? undefined : this.#requests?.read(feeds)
    if (!seen) return
    this.#drift?.forget()
    if (seen.before) this.#drift?.pass(seen.before)
    this.#watch(seen.last, answer)
    this.#drift?.forget()
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
    if (this.#untilInference > 0) snapshot.untilInference = this.#untilInference
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
    this.#untilInference = 0
    this.#drift?.forget()
    this.#report(this.#episodes.end())
  }

  async #runFeatures(features: FeatureStep): Promise<Tensors> {
    const { fed, made } = await features.run()
    this.#feeds[this.#input] = fed
    return made
  }

  #watch(values: Reading['values'], answer: Tensors | undefined, made?: Tensors): void {
    const window = this.#drift?.observe(values, answer, made)
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
  #failed(kind: ErrorKind, reading: Reading, reason: string): void {
    this.#tally.errors++
    if (this.#ring.isFull) this.#watch(reading.values, undefined)
    else this.#drift?.pass(reading.values)
    this.#quiet()
    this.#tellOnce(kind, reading.position ?? String(reading.at), reading.at, reason)
  }

  #tellOnce(kind: ErrorKind, position: string, at: EpochMs, reason: string): void {
    if (this.#toldErrors.has(kind)) return
    this.#toldErrors.add(kind)
    const { slot, releaseDigest } = this.#serves
    this.#tally.events.push({
      kind: 'inference_error',
      key: `${releaseDigest.slice(0, 12)}:${kind}:${position}`,
      at,
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
