import type { Stretch } from './integrate.ts'

const MINUTE_MS = 60_000
/** Of one core: a minute in which the agent worked less than this counts as quiet. */
const QUIET_BUSY_SHARE = 0.01
/** Fewer quiet minutes than this are an anecdote. Own choice. */
const QUIET_MINUTES_MIN = 5
/** Four hours of quiet minutes: follows the seasons of a device in constant memory. */
const QUIET_MINUTES_MAX = 240

/**
 * Idle power from the device itself: the 10th percentile of the mean power of quiet minutes, in one state of the
 * device.
 */
export class IdleEstimate {
  readonly #means: number[] = []
  #joules = 0
  #durationMs = 0
  #agentCpuMs = 0

  /** @param agentCpuMs CPU time the agent used during the stretch; undefined when nobody knows */
  add(stretch: Stretch, agentCpuMs: number | undefined): void {
    // A minute with a hole in it has no mean; start the next one.
    if (stretch.joules === undefined || agentCpuMs === undefined || agentCpuMs < 0) {
      this.restart()
      return
    }
    this.#joules += stretch.joules
    this.#durationMs += stretch.durationMs
    this.#agentCpuMs += agentCpuMs
    if (this.#durationMs < MINUTE_MS) return
    if (this.#agentCpuMs / this.#durationMs < QUIET_BUSY_SHARE) {
      this.#means.push((this.#joules * 1000) / this.#durationMs)
      if (this.#means.length > QUIET_MINUTES_MAX) this.#means.shift()
    }
    this.restart()
  }

  /** Drops the minute under way: what comes next is another state of the device. */
  restart(): void {
    this.#joules = 0
    this.#durationMs = 0
    this.#agentCpuMs = 0
  }

  /** Idle power in W, or undefined before enough quiet minutes were seen. */
  get watts(): number | undefined {
    if (this.#means.length < QUIET_MINUTES_MIN) return undefined
    const sorted = [...this.#means].sort((a, b) => a - b)
    return sorted[Math.floor((sorted.length - 1) * 0.1)]
  }
}

/** Releases come and go over the years; the oldest states make room. */
const STATES_MAX = 16

/** Idle power differs by power mode and by what is loaded; each state keeps its own estimate. */
export class IdleByState {
  readonly #estimates = new Map<string, IdleEstimate>()
  #state = ''

  setState(state: string): void {
    if (state === this.#state) return
    this.#estimates.get(this.#state)?.restart()
    this.#state = state
  }

  add(stretch: Stretch, agentCpuMs: number | undefined): void {
    const estimate = this.#estimates.get(this.#state) ?? new IdleEstimate()
    if (this.#estimates.size >= STATES_MAX && !this.#estimates.has(this.#state)) {
      this.#estimates.delete(this.#estimates.keys().next().value!)
    }
    this.#estimates.set(this.#state, estimate)
    estimate.add(stretch, agentCpuMs)
  }

  /** Idle power of the present state in W, or undefined while it is not known. */
  get watts(): number | undefined {
    return this.#estimates.get(this.#state)?.watts
  }
}
