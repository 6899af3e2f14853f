import { pointsPerInputMax, type Resample } from '@godwit/protocol/release/pipeline'
import type { Reading } from '../sources/source.ts'

/** The last number of a field, and what came of it within the interval that is open. */
type Track = { at: number; value: number; sum: number; count: number }

/** Plain JSON. `next` is the grid point that is settled next, null before the first input. */
export type ResamplerSnapshot = {
  intervalMs: number
  how: string
  next: number | null
  begins: boolean
  gapPoints: number
  tracks: Record<string, Track>
}

/**
 * Readings at whatever times in, readings at the multiples of an interval out (SPEC 4.6.1). Time is only what the
 * readings say it is, so the same recording gives the same points however fast it is played.
 */
export class Resampler {
  readonly #spec: Resample
  readonly #fields: readonly string[]
  readonly #gapMsMax: number
  readonly #gapPointsMax: number
  #tracks = new Map<string, Track>()
  /** Null until something has come. */
  #next: number | null = null
  /** The next point follows on nothing. */
  #begins = false
  /** Taken, and later than points that are not yet settled. */
  #waiting: Reading | undefined
  #gapPoints = 0

  /** @param window readings that the model looks at: errors beyond it say nothing more */
  constructor(spec: Resample, fields: readonly string[], window: number) {
    this.#spec = spec
    this.#fields = fields
    const bridgeable = pointsPerInputMax * spec.intervalMs
    this.#gapMsMax = Math.min(spec.gapMsMax ?? 2 * spec.intervalMs, bridgeable)
    this.#gapPointsMax = spec.gap === 'missing' ? Math.min(window, pointsPerInputMax) : 0
  }

  /** Takes an input when `next` gave nothing; returns it as it is when it is no part of the series. */
  take(input: Reading): Reading | undefined {
    const flaw = this.#flawOf(input)
    if (flaw !== undefined) return { ...input, flaw }
    if (input.isFirst || this.#isSetBack(input.at)) this.#restart()
    if (this.#isLate(input.at)) {
      return { ...input, values: {}, flaw: `its time ${input.at} is before a point that is settled` }
    }
    this.#waiting = input
    return undefined
  }

  /** The next settled point; undefined when another input is needed. */
  next(): Reading | undefined {
    const waiting = this.#waiting
    if (!waiting) return undefined
    while (this.#next !== null && this.#next < waiting.at) {
      const at = this.#next
      const fresh = this.#fields.filter((field) => this.#isFresh(field, at, waiting))
      if (fresh.length === 0 && this.#gapPoints >= this.#gapPointsMax) {
        this.#restart()
        break
      }
      this.#gapPoints = fresh.length === 0 ? this.#gapPoints + 1 : 0
      return this.#settle(at, fresh, waiting)
    }
    this.#absorb(waiting)
    return undefined
  }

  snapshot(): ResamplerSnapshot {
    const { intervalMs, how } = this.#spec
    const tracks = Object.fromEntries([...this.#tracks].map(([field, track]) => [field, { ...track }]))
    const where = { next: this.#next, begins: this.#begins, gapPoints: this.#gapPoints }
    return { intervalMs, how, ...where, tracks }
  }

  /** An input that waits is not in it: whoever keeps a snapshot keeps that too. */
  get waiting(): Reading | undefined {
    return this.#waiting
  }

  /** False, and nothing changed, when it was taken under other terms. */
  restore(snapshot: ResamplerSnapshot, waiting: Reading | undefined): boolean {
    if (snapshot.intervalMs !== this.#spec.intervalMs || snapshot.how !== this.#spec.how) return false
    this.#next = snapshot.next
    this.#begins = snapshot.begins
    this.#gapPoints = snapshot.gapPoints
    for (const field of this.#fields) {
      const track = Object.hasOwn(snapshot.tracks, field) ? snapshot.tracks[field] : undefined
      if (track) this.#tracks.set(field, { ...track })
    }
    this.#waiting = waiting
    return true
  }

  #flawOf({ values, flaw }: Reading): string | undefined {
    if (flaw !== undefined) return flaw
    const present = this.#fields.filter((field) => Number.isFinite(values[field]))
    if (present.length === 0) return 'no field has a finite number'
    if (this.#spec.how !== 'linear' || present.length === this.#fields.length) return undefined
    return `a line needs all fields, ${this.#fields.find((field) => !present.includes(field))} has no finite number`
  }

  #newestAt(): number {
    let newest = Number.NEGATIVE_INFINITY
    for (const { at } of this.#tracks.values()) newest = Math.max(newest, at)
    return newest
  }

  /** A line is drawn forwards only; otherwise an input may be late as long as its point is open. */
  #isLate(at: number): boolean {
    if (this.#next === null) return false
    if (this.#spec.how === 'linear' && at < this.#newestAt()) return true
    return at <= this.#next - this.#spec.intervalMs
  }

  #isSetBack(at: number): boolean {
    return this.#next !== null && at < this.#next - this.#spec.intervalMs - this.#gapMsMax
  }

  #isFresh(field: string, at: number, { at: waitingAt }: Reading): boolean {
    const track = this.#tracks.get(field)
    if (!track) return false
    if (this.#spec.how === 'linear') return track.at === at || waitingAt - track.at <= this.#gapMsMax
    return at - track.at <= this.#gapMsMax
  }

  #settle(at: number, fresh: readonly string[], waiting: Reading): Reading {
    const values: Record<string, number> = {}
    for (const field of this.#fields) {
      const track = this.#tracks.get(field)
      values[field] = track && fresh.includes(field) ? this.#valueAt(track, at, field, waiting) : Number.NaN
      if (!track) continue
      // From here on a mean without inputs is the mean before it.
      if (this.#spec.how === 'mean' && track.count > 0) track.value = track.sum / track.count
      track.sum = 0
      track.count = 0
    }
    const reading: Reading = { at, position: String(at), values }
    if (this.#begins) reading.isFirst = true
    this.#begins = false
    this.#next = at + this.#spec.intervalMs
    return reading
  }

  #valueAt({ at: before, value, sum, count }: Track, at: number, field: string, waiting: Reading): number {
    if (this.#spec.how === 'mean') return count > 0 ? sum / count : value
    if (this.#spec.how === 'last' || before === at) return value
    const share = (at - before) / (waiting.at - before)
    return value + share * (waiting.values[field]! - value)
  }

  #absorb({ at, values }: Reading): void {
    this.#waiting = undefined
    this.#gapPoints = 0
    this.#next ??= Math.ceil(at / this.#spec.intervalMs) * this.#spec.intervalMs
    for (const field of this.#fields) {
      const value = values[field]
      if (value === undefined || !Number.isFinite(value)) continue
      const track = this.#tracks.get(field)
      if (!track) {
        this.#tracks.set(field, { at, value, sum: value, count: 1 })
        continue
      }
      track.sum += value
      track.count++
      if (at < track.at) continue
      track.at = at
      // The mean of the interval before stays until this one is settled.
      if (this.#spec.how !== 'mean') track.value = value
    }
  }

  #restart(): void {
    this.#tracks = new Map()
    this.#next = null
    this.#gapPoints = 0
    this.#begins = true
  }
}
