import { RunnerFailure } from './cage.ts'
import { because } from './log.ts'

const restartMsMin = 500
const restartMsMax = 60_000
/** For what is no runner's fault, most likely a disk. */
const heldUpMs = 5_000
const stableMs = 5 * 60_000
/** Crashes or failed loads in a row after which the last known good is asked for. */
const failuresMax = 3

type RestartsDeps = {
  random: () => number
  again: () => void
  /** It would not run, several times in a row. */
  onUnusable: (failure: RunnerFailure) => void
}

/** When a runner that failed is started again: at once at first, then more and more rarely, and for ever. */
export class Restarts {
  readonly #deps: RestartsDeps
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #stable: NodeJS.Timeout | undefined
  /** Ever, for the health record. */
  count = 0

  constructor(deps: RestartsDeps) {
    this.#deps = deps
  }

  failed(error: unknown): void {
    const failure = error instanceof RunnerFailure ? error : new RunnerFailure('internal', because(error))
    this.#failures++
    this.count++
    clearTimeout(this.#stable)
    if (this.#failures % failuresMax === 0) this.#deps.onUnusable(failure)
    const ceiling = Math.min(restartMsMax, restartMsMin * 2 ** (this.#failures - 1))
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#deps.again(), ceiling * (0.5 + this.#deps.random() / 2))
  }

  /** Something else was in the way: nobody is blamed, and it is tried again unless that is planned already. */
  heldUp(): void {
    this.#timer ??= setTimeout(() => this.#deps.again(), heldUpMs)
  }

  /** What was planned is being done now. */
  begun(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** It serves; when it has for a while, what was before is forgotten. */
  serves(): void {
    clearTimeout(this.#stable)
    this.#stable = setTimeout(() => {
      this.#failures = 0
    }, stableMs).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#stable)
  }
}
