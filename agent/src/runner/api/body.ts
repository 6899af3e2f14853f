import type { IncomingMessage } from 'node:http'
import { ApiError } from './api-error.ts'

/** Reads bodies within a bound for each and one for all: many at once must not fill the cage that the model lives in. */
export class Bodies {
  readonly #bytesMax: number
  readonly #allBytesMax: number
  #held = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#allBytesMax = 4 * bytesMax
  }

  /** Holds the body's bytes until `use` is done with it. @throws ApiError 413 or 503 */
  async with<T>(request: IncomingMessage, use: (body: Buffer) => Promise<T>): Promise<T> {
    let held = 0
    const hold = (bytes: number): void => {
      held += bytes
      this.#held += bytes
      if (held > this.#bytesMax) throw new ApiError(413, `the body has more than ${this.#bytesMax} bytes`)
      if (this.#held > this.#allBytesMax) throw new ApiError(503, 'too many large requests at once')
    }
    try {
      const announced = Number(request.headers['content-length'] ?? 0)
      if (announced > this.#bytesMax) {
        throw new ApiError(413, `the body has ${announced} bytes, at most ${this.#bytesMax}`)
      }
      const chunks: Buffer[] = []
      for await (const chunk of request) {
        hold((chunk as Buffer).length)
        chunks.push(chunk as Buffer)
      }
      return await use(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
    } finally {
      this.#held -= held
    }
  }
}
