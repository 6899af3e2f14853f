import type { EpochMs } from '@godwit/protocol/units'

/** Enough to see two or three that take turns. */
const bootsKept = 8
/** Once an hour says enough; they may take turns every second. */
const quietMs = 60 * 60_000
/** How long an alarm stands after the last sign of it. */
const standsMs = 24 * 60 * 60_000

type Seen = { boots: string[]; lastAt?: EpochMs; toldAt?: EpochMs }

/**
 * Finds two devices with one identity, such as two boards from one cloned card. Each start of an agent has a number of
 * its own that never comes back; one that does, after another was heard, is a second agent that is still alive. What
 * both of them measure goes under the same sequence numbers, so half of it is taken for repetition: somebody must know.
 */
export class Twins {
  readonly #seen = new Map<string, Seen>()

  /** @returns whether this is news worth an alarm */
  heard(deviceId: string, bootId: string, now: EpochMs): boolean {
    const seen = this.#seen.get(deviceId) ?? { boots: [] }
    this.#seen.set(deviceId, seen)
    const { boots } = seen
    const latest = boots.at(-1)
    if (bootId === latest) return false
    const isBack = boots.includes(bootId)
    seen.boots = [...boots.filter((known) => known !== bootId), bootId].slice(-bootsKept)
    if (!isBack) return false
    seen.lastAt = now
    if (seen.toldAt !== undefined && now - seen.toldAt < quietMs) return false
    seen.toldAt = now
    return true
  }

  /** Devices that were seen twice within a day. */
  current(now: EpochMs): string[] {
    return [...this.#seen]
      .filter(([, { lastAt }]) => lastAt !== undefined && now - lastAt < standsMs)
      .map(([id]) => id)
  }
}
