import type { DurationMs } from '@godwit/protocol/units'
import { type Clock, sleep } from '../clock.ts'
import type { Source } from './source.ts'

/** The reason why there are no readings; undefined: there are again. */
export type TellOfSource = (because: string | undefined) => void

const retryMs: DurationMs = 5_000

/**
 * A source that could not be opened, tried again and again. It is no fault of the model, which serves on and answers
 * whoever asks it: a runner that ended here would get a good release rolled back.
 */
export class PatientSource implements Source {
  readonly #open: () => Promise<Source>
  readonly #clock: Clock
  readonly #tell: TellOfSource
  #source: Source | undefined
  #cursor: unknown
  #told: string

  /** @param because what the first try came to; it is told already */
  constructor(
    open: () => Promise<Source>,
    cursor: unknown,
    because: string,
    clock: Clock,
    tell: TellOfSource,
  ) {
    this.#open = open
    this.#cursor = cursor ?? null
    this.#told = because
    this.#clock = clock
    this.#tell = tell
  }

  async next(signal: AbortSignal) {
    while (!this.#source) {
      await sleep(this.#clock, retryMs, signal)
      await this.#try()
    }
    const next = await this.#source.next(signal)
    if (next) this.#cursor = next.cursor
    return next
  }

  async #try(): Promise<void> {
    try {
      this.#source = await this.#open()
      this.#tell(undefined)
    } catch (error) {
      const because = (error as Error).message
      if (because !== this.#told) this.#tell(because)
      this.#told = because
    }
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
  open: () => Promise<Source>,
  cursor: unknown,
  clock: Clock,
  tell: TellOfSource,
): Promise<Source> {
  try {
    return await open()
  } catch (error) {
    const because = (error as Error).message
    tell(because)
    return new PatientSource(open, cursor, because, clock, tell)
  }
}
