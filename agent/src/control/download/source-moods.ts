import type { DurationMs } from '@godwit/protocol/units'
import { backoffMs } from '../link/backoff.ts'
import type { BlockSource, SourceEnd } from './block-source.ts'

/** After the first failure up to a second, doubled with each in a row; none waits longer than ten minutes. */
const restLimits = { backoffMsMin: 500, backoffMsMax: 600_000 }
/** A stranger that sent a wrong block is not asked again for so long. */
const asideMs = 3_600_000

/** What we know of each source, by name: whether it rests after a failure, and since when. In memory; a restart forgives. */
export class SourceMoods {
  readonly #moods = new Map<string, { untilMs: number; failures: number }>()
  readonly #monotonicMs: () => number
  readonly #random: () => number

  constructor(monotonicMs: () => number, random: () => number) {
    this.#monotonicMs = monotonicMs
    this.#random = random
  }

  /** Milliseconds until it may be asked again; 0 for now. */
  restMs({ name }: BlockSource): DurationMs {
    return Math.max(0, (this.#moods.get(name)?.untilMs ?? 0) - this.#monotonicMs())
  }

  failed({ name }: BlockSource, { retryAfterMs = 0 }: { retryAfterMs?: DurationMs }): void {
    const failures = (this.#moods.get(name)?.failures ?? 0) + 1
    // Full jitter: a fleet whose mirror restarts must not come back in step.
    const restMs = Math.max(retryAfterMs, backoffMs(failures, restLimits, this.#random()))
    this.#moods.set(name, { failures, untilMs: this.#monotonicMs() + restMs })
  }

  leaveAside({ name }: BlockSource): void {
    this.#moods.set(name, { failures: 1, untilMs: this.#monotonicMs() + asideMs })
  }

  succeeded({ name }: BlockSource): void {
    this.#moods.delete(name)
  }
}

/** Nobody was there, or the link itself is down: another try costs nobody anything. */
export function isUnreachable(end: SourceEnd): boolean {
  return end.end === 'retryable' && end.unreachable === true
}
