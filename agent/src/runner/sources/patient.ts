import type { DurationMs } from '@godwit/protocol/units'
import { type Clock, sleep } from '../clock.ts'
import { textOf } from '../text-of.ts'
import type { Source } from './source.ts'

/** The reason why there are no readings; undefined: there are again. */
export type TellOfSource = (because: string | undefined) => void

/** @param cursor where the readings go on; null or undefined: at the start */
export type Open = (cursor: unknown) => Promise<Source>

const retryMsMin: DurationMs = 5_000
const retryMsMax: DurationMs = 60_000

/**
 * A source that cannot be opened, or that fails while it is read, is opened again and again, at the place behind the
 * last reading that it gave. It is no fault of the model, which serves on and answers whoever asks it: a runner that
 * ended here would get a good release rolled back.
 */
class PatientSource implements Source {
  readonly #open: Open
  readonly #clock: Clock
  readonly #tell: TellOfSource
  #source: Source | undefined
  #cursor: unknown
  #told: string | undefined
  #failures = 0
  #openedMs = 0

  constructor(open: Open, cursor: unknown, clock: Clock, tell: TellOfSource) {
    this.#open = open
    this.#cursor = cursor ?? null
    this.#clock = clock
    this.#tell = tell
  }

  async tryToOpen(): Promise<void> {
    try {
      this.#source = await this.#open(this.#cursor)
      this.#openedMs = this.#clock.monotonicMs()
    } catch (error) {
      this.#failed(error)
    }
  }

  async next(signal: AbortSignal) {
    for (;;) {
      const source = this.#source
      try {
        const next = await source?.next(signal)
        if (next) this.#cursor = next.cursor
        if (source && this.#told !== undefined) this.#isBack()
        if (source) return next
      } catch (error) {
        if (signal.aborted && (error as Error).name === 'AbortError') throw error
        this.#cursor = this.position()
        this.#source = undefined
        // What it failed with says more than how it went.
        await source?.close().catch(() => {})
        // One that gives a reading now and then and fails again is no better for it.
        if (this.#clock.monotonicMs() - this.#openedMs > retryMsMax) this.#failures = 0
        this.#failed(error)
      }
      await sleep(this.#clock, Math.min(retryMsMax, retryMsMin * 2 ** (this.#failures - 1)), signal)
      await this.tryToOpen()
    }
  }

  /** Only when it gave something: many a source that fails opens without complaint. */
  #isBack(): void {
    this.#told = undefined
    this.#tell(undefined)
  }

  #failed(error: unknown): void {
    this.#failures++
    const because = textOf(error)
    if (because !== this.#told) this.#tell(because)
    this.#told = because
  }

  position(): unknown {
    return this.#source?.position ? this.#source.position() : this.#cursor
  }

  dropped(): number {
    return this.#source?.dropped?.() ?? 0
  }

  async close(): Promise<void> {
    await this.#source?.close()
  }
}

export async function openPatiently(
  open: Open,
  cursor: unknown,
  clock: Clock,
  tell: TellOfSource,
): Promise<Source> {
  const source = new PatientSource(open, cursor, clock, tell)
  await source.tryToOpen()
  return source
}
