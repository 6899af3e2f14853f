import { Fault } from '../fault.ts'
import { type Binning, countsProblem, type FeatureCounts } from './counts.ts'
import { binsOf } from './profile.ts'

/** A feature's unfinished window; `previous` is its last value, null before the first. */
export type FeatureSnapshot = FeatureCounts & { name: string; previous: number | null }

/** One feature's counters; the same lines count the reference, the device's windows and a replay on the hub. */
export class FeatureBins {
  readonly feature: Binning
  readonly #isCategorical: boolean
  readonly #edges: Float64Array
  readonly #counts: Uint32Array
  readonly #min: number
  readonly #max: number
  #previous = Number.NaN
  #repeat = 0
  #missing = 0
  #outside = 0

  constructor(feature: Binning) {
    this.feature = feature
    this.#isCategorical = feature.kind === 'categorical'
    this.#edges = Float64Array.from(feature.edges)
    this.#counts = new Uint32Array(binsOf(feature))
    this.#min = feature.support.min
    this.#max = feature.support.max
  }

  observe(x: number): void {
    // One comparison catches undefined, NaN and both infinities.
    if (!(Math.abs(x) < Number.POSITIVE_INFINITY)) {
      this.#missing++
      return
    }
    const edges = this.#edges
    const bin = edgesBelow(edges, x)
    if (this.#isCategorical && edges[bin] !== x) {
      this.#missing++
      this.#outside++
      return
    }
    this.#counts[bin]!++
    if (x === this.#previous) this.#repeat++
    if (x < this.#min || x > this.#max) this.#outside++
    this.#previous = x
  }

  read(): FeatureCounts {
    const counts = Array.from(this.#counts)
    return { counts, repeat: this.#repeat, missing: this.#missing, outside: this.#outside }
  }

  clear(): void {
    this.#counts.fill(0)
    this.#previous = Number.NaN
    this.#repeat = 0
    this.#missing = 0
    this.#outside = 0
  }

  snapshot(): FeatureSnapshot {
    const previous = Number.isNaN(this.#previous) ? null : this.#previous
    return { name: this.feature.name, ...this.read(), previous }
  }

  restore(saved: FeatureSnapshot, slot: number): void {
    const problem =
      saved.name === this.feature.name ? countsProblem(this.feature, saved, slot) : 'another feature'
    if (problem) throw new Fault('drift-snapshot-mismatch', `${this.feature.name}: ${problem}`)
    this.#counts.set(saved.counts)
    this.#previous = saved.previous ?? Number.NaN
    this.#repeat = saved.repeat
    this.#missing = saved.missing
    this.#outside = saved.outside
  }
}

/** Bin of `x`: how many edges lie strictly below it. For categories, the place where `x` must stand. */
export function edgesBelow(edges: ArrayLike<number>, x: number): number {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (edges[middle]! < x) low = middle + 1
    else high = middle
  }
  return low
}
