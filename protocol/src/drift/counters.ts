import { Fault } from '../fault.ts'
import type { DriftWindow } from './counts.ts'
import { FeatureBins, type FeatureSnapshot } from './feature-bins.ts'
import type { Profile } from './profile.ts'

export { DriftWindow, FeatureCounts, mergeCounts } from './counts.ts'

/** The unfinished window as plain JSON; with it a killed runner goes on as if it had not been killed. */
export type CountersSnapshot = {
  index: number
  slot: number
  features: FeatureSnapshot[]
}

/**
 * The device's counters: constant memory, integers only. `observe` allocates nothing until a window is full.
 * A snapshot belongs to one profile; keep it under the bundle's digest and start afresh with a new bundle.
 */
export class WindowCounters {
  readonly #profile: Profile
  readonly #bins: FeatureBins[]
  #index: number
  #slot = 0

  /** @param firstIndex index of the first window, when an earlier run of the same deployment left off before it */
  constructor(profile: Profile, firstIndex = 0) {
    this.#profile = profile
    this.#bins = profile.features.map((feature) => new FeatureBins(feature))
    this.#index = firstIndex
  }

  /**
   * Takes one slot, with values in the profile's order of features; NaN stands for an absent one.
   * Returns the window that this slot completes.
   */
  observe(values: ArrayLike<number>): DriftWindow | undefined {
    const bins = this.#bins
    for (let f = 0; f < bins.length; f++) bins[f]!.observe(values[f]!)
    this.#slot++
    return this.#slot === this.#profile.windowSize ? this.#finish() : undefined
  }

  snapshot(): CountersSnapshot {
    return { index: this.#index, slot: this.#slot, features: this.#bins.map((bins) => bins.snapshot()) }
  }

  static restore(profile: Profile, snapshot: CountersSnapshot): WindowCounters {
    const counters = new WindowCounters(profile, snapshot.index)
    if (snapshot.features.length !== profile.features.length || !(snapshot.slot < profile.windowSize)) {
      throw new Fault('drift-snapshot-mismatch', 'the counters snapshot was taken under another profile')
    }
    counters.#slot = snapshot.slot
    counters.#bins.forEach((bins, f) => {
      bins.restore(snapshot.features[f]!, snapshot.slot)
    })
    return counters
  }

  #finish(): DriftWindow {
    const features: DriftWindow['features'] = {}
    for (const bins of this.#bins) {
      features[bins.feature.name] = bins.read()
      bins.clear()
    }
    this.#slot = 0
    return { index: this.#index++, features }
  }
}
