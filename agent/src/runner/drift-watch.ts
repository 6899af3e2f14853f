import { type CountersSnapshot, type DriftWindow, WindowCounters } from '@godwit/protocol/drift/counters'
import type { Profile } from '@godwit/protocol/drift/profile'
import { Fault } from '@godwit/protocol/fault'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { Monitors } from './pipeline/monitors.ts'
import type { Tensors } from './session/session.ts'

/** Bytes of completed drift windows in one window record; a telemetry batch holds 120,000. */
const driftBytesMax = 60_000
const driftWindowsMax = 1024

export type SavedDrift = {
  /** Half-filled counters of this very release. */
  counters: CountersSnapshot | undefined
  /** Where counting begins without those. */
  firstIndex: number
  previous: Record<string, number | null>
}

/** Monitors and counters of one release: what the reference profile wants to know of each reading. */
export class DriftWatch {
  /** So many completed drift windows fit one window record. */
  readonly windowsMax: number
  readonly #monitors: Monitors
  readonly #counters: WindowCounters

  constructor(pipeline: Pipeline, profile: Profile, saved?: SavedDrift) {
    this.#monitors = new Monitors(pipeline, namesOf(profile))
    if (saved) this.#monitors.restore(saved.previous)
    this.#counters = restored(profile, saved)
    const bytes = profile.features.reduce(
      (sum, { name, referenceCounts }) => sum + name.length + 50 + 3 * referenceCounts.length,
      20,
    )
    this.windowsMax = Math.max(1, Math.min(driftWindowsMax, Math.floor(driftBytesMax / bytes)))
  }

  /** A reading that the model answered, or should have: then `answer` is absent and its numbers count as missing. */
  observe(
    values: Readonly<Record<string, number>>,
    answer: Tensors | undefined,
    made?: Tensors,
  ): DriftWindow | undefined {
    const completed = this.#counters.observe(this.#monitors.read(values, answer, made))
    this.#monitors.remember(values)
    return completed
  }

  /** A warm-up reading: the reference has no such slots, but the next increment starts from here. */
  pass(values: Readonly<Record<string, number>>): void {
    this.#monitors.remember(values)
  }

  /** The next reading follows on nothing: no increment is taken of it. */
  forget(): void {
    this.#monitors.forget()
  }

  snapshot(): { counters: CountersSnapshot; previous: Record<string, number | null> } {
    return { counters: this.#counters.snapshot(), previous: this.#monitors.snapshot() }
  }
}

/** Features of the profile that no monitor feeds. */
export function unmonitored(pipeline: Pipeline, profile: Profile): string[] {
  return namesOf(profile).filter((name) => !pipeline.monitor.some((monitor) => monitor.name === name))
}

function namesOf(profile: Profile): string[] {
  return profile.features.map(({ name }) => name)
}

/** A snapshot that does not fit is not worth a model that cannot start: counting begins again. */
function restored(profile: Profile, saved: SavedDrift | undefined): WindowCounters {
  if (!saved?.counters) return new WindowCounters(profile, saved?.firstIndex)
  try {
    return WindowCounters.restore(profile, saved.counters)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return new WindowCounters(profile, Math.max(saved.counters.index, saved.firstIndex))
  }
}
