import type { Resample } from '@godwit/protocol/release/pipeline'
import { Resampler, type ResamplerSnapshot } from '../pipeline/resampler.ts'
import type { Reading, Source } from './source.ts'

/** Where a source stands together with what was half resampled of it. Plain JSON. */
type Place = { resampled: { state: ResamplerSnapshot; waiting: Reading | null }; source: unknown }

/** A source at the pace that the pipeline wants. To whoever reads from it, it is a source like any other. */
export class ResampledSource implements Source {
  readonly #source: Source
  readonly #resampler: Resampler
  #cursor: unknown

  constructor(
    source: Source,
    { spec, fields, window }: { spec: Resample; fields: readonly string[]; window: number },
    cursor: unknown,
  ) {
    this.#source = source
    this.#resampler = new Resampler(spec, fields, window)
    const place = placeOf(cursor)
    this.#cursor = place ? place.source : cursor
    if (place) this.#resampler.restore(place.resampled.state, place.resampled.waiting ?? undefined)
  }

  async next(signal: AbortSignal) {
    for (;;) {
      const settled = this.#resampler.next()
      if (settled) return { reading: settled, cursor: undefined }
      const input = await this.#source.next(signal)
      if (!input) return undefined
      this.#cursor = input.cursor
      const odd = this.#resampler.take(input.reading)
      if (odd) return { reading: odd, cursor: undefined }
    }
  }

  position(): Place {
    const source = this.#source.position ? this.#source.position() : this.#cursor
    const { waiting } = this.#resampler
    return { resampled: { state: this.#resampler.snapshot(), waiting: waiting ?? null }, source }
  }

  dropped(): number {
    return this.#source.dropped?.() ?? 0
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}

/** The place of the source itself, for a pipeline that takes readings as they come. */
export function rawCursor(cursor: unknown): unknown {
  return placeOf(cursor)?.source ?? (isPlace(cursor) ? null : cursor)
}

function placeOf(cursor: unknown): Place | undefined {
  return isPlace(cursor) ? cursor : undefined
}

function isPlace(cursor: unknown): cursor is Place {
  return typeof cursor === 'object' && cursor !== null && Object.hasOwn(cursor, 'resampled')
}
