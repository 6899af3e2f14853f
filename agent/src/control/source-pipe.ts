import { closeSync } from 'node:fs'
import { openFifo } from '../runner/sources/fifo.ts'
import type { SourceConfig } from '../runner/sources/source.ts'
import { because, type Log } from './log.ts'

/**
 * The pipe that a slot's readings come through, for its runners to inherit. Control holds it open: what lies in it
 * outlives every runner, and a writer neither gets an error nor an end of file while one gives way to another.
 */
export class SourcePipe {
  readonly #source: SourceConfig
  readonly #log: Log
  #fd: number | undefined

  constructor(source: SourceConfig, log: Log) {
    this.#source = source
    this.#log = log
  }

  /** Undefined where the source is no pipe, or where it cannot be opened: then the runner tries, and tells. */
  get fd(): number | undefined {
    const { kind } = this.#source
    if (kind === 'stdin') return 0
    if (kind !== 'fifo') return undefined
    try {
      this.#fd ??= openFifo(this.#source.path)
    } catch (error) {
      this.#log.error(
        { path: this.#source.path, because: because(error) },
        'cannot open the FIFO of a source',
      )
    }
    return this.#fd
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}
