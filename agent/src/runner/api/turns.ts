import type { DurationMs } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'

/** `queueMax`: requests that may wait; more are turned away at once. */
export type QueueLimits = { deadlineMs: DurationMs; queueMax: number }

/** Why a request got no turn. */
export class NoTurn extends Error {
  readonly because: 'full' | 'late'
  constructor(because: 'full' | 'late', message: string) {
    super(message)
    this.name = 'NoTurn'
    this.because = because
  }
}

/**
 * Who may use the session next: there is one, and an inference holds the thread. The source and the requests take turns,
 * so that neither starves the other however fast it comes; among themselves requests go by age.
 */
export class Turns {
  readonly #clock: Clock
  #isTaken = false
  #wasRequest = false
  #source: (() => void) | undefined
  readonly #requests = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** For the source: without a promise when nobody else is there, which is nearly always. */
  takeIfFree(): boolean {
    if (this.#isTaken) return false
    this.#isTaken = true
    this.#wasRequest = false
    return true
  }

  /** For the source, which is one and waits for one thing at a time. */
  take(): Promise<void> {
    if (this.takeIfFree()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#source = resolve
    })
  }

  /** @throws NoTurn when too many wait, or when its turn has not come within the deadline */
  takeForRequest({ deadlineMs, queueMax }: QueueLimits): Promise<void> {
    if (!this.#isTaken) {
      this.#isTaken = true
      this.#wasRequest = true
      return Promise.resolve()
    }
    if (this.#requests.size >= queueMax) {
      return Promise.reject(new NoTurn('full', `${this.#requests.size} requests wait already`))
    }
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(deadlineMs, () => {
        this.#requests.delete(begin)
        reject(new NoTurn('late', `it was not its turn within ${deadlineMs} ms`))
      })
      const begin = () => {
        cancel()
        resolve()
      }
      this.#requests.add(begin)
    })
  }

  /** Whoever took a turn gives it back. */
  done(): void {
    const [request] = this.#requests
    const source = this.#source
    if (source && (this.#wasRequest || !request)) {
      this.#source = undefined
      this.#wasRequest = false
      source()
    } else if (request) {
      this.#requests.delete(request)
      this.#wasRequest = true
      request()
    } else this.#isTaken = false
  }
}
