import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { Fault } from '@godwit/protocol/fault'
import type { Clock } from '../clock.ts'
import { Bell } from './bell.ts'
import { openFifo } from './fifo.ts'
import { plainMapping, readingOfText } from './reading-of.ts'
import type { Mapping, Source } from './source.ts'

/** Bytes that were read and not yet taken, as base64: a pipe gives them only once. */
type Place = { rest: string }

/** Read ahead at most this much; beyond it the pipe fills and its writer waits. Nothing is dropped. */
const aheadBytesMax = 65_536
/** A line without an end in sight is no reading; it is skipped as one bad reading instead of filling memory. */
const lineBytesMax = 1 << 20
/** Control puts the pipe there. It holds the other copy, so that the pipe outlives this process. */
const pipeFd = 0

/**
 * JSON lines from a pipe that several processes may write to, one after the other or, by whole lines, at once.
 *
 * @param path of the FIFO, for when control could not open it: until the next runner what lies in it depends on this one
 */
export async function openPipe(
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
  path?: string,
): Promise<Source> {
  let socket: Socket
  const chunks: { take: (bytes: Buffer) => boolean } = { take: () => true }
  try {
    socket = new Socket({
      fd: path === undefined || fstatSync(pipeFd).isFIFO() ? pipeFd : openFifo(path),
      readable: true,
      writable: false,
      // Of the ways to read from a socket, the only one that stops at once when it is told to.
      onread: {
        buffer: Buffer.alloc(16_384),
        callback: (size, buffer) => chunks.take(Buffer.from(buffer.subarray(0, size))),
      },
    })
  } catch (cause) {
    throw new Fault(
      'source-unavailable',
      path === undefined
        ? 'standard input is no pipe; a file is read with kind `jsonl`'
        : `cannot open the FIFO ${path}`,
      { cause },
    )
  }
  return new PipeSource(socket, chunks, plainMapping(fields), restOf(cursor), clock)
}

class PipeSource implements Source {
  readonly #socket: Socket
  readonly #mapping: Mapping
  readonly #clock: Clock
  #ahead: Buffer
  #hasEnded = false
  /** The rest of a line that was too long. */
  #isSkipping = false
  readonly #bell = new Bell()

  constructor(
    socket: Socket,
    chunks: { take: (bytes: Buffer) => boolean },
    mapping: Mapping,
    rest: Buffer,
    clock: Clock,
  ) {
    this.#socket = socket
    this.#mapping = mapping
    this.#ahead = rest
    this.#clock = clock
    chunks.take = (bytes) => {
      this.#ahead = Buffer.concat([this.#ahead, bytes])
      this.#bell.ring()
      return this.#ahead.length < aheadBytesMax
    }
    const ended = () => {
      this.#hasEnded = true
      this.#bell.ring()
    }
    socket.once('end', ended).once('close', ended).once('error', ended)
  }

  async next(signal: AbortSignal) {
    for (;;) {
      if (signal.aborted) throw signal.reason
      const text = this.#takeLine()
      if (text !== undefined)
        return { reading: readingOfText(text, this.#mapping, this.#clock.now()), cursor: undefined }
      if (this.#hasEnded) return undefined
      this.#socket.resume()
      await this.#bell.rung(signal)
    }
  }

  position(): Place {
    return { rest: this.#ahead.toString('base64') }
  }

  /** What is still in the pipe stays there for the next. */
  async close(): Promise<void> {
    this.#socket.pause()
  }

  #takeLine(): string | undefined {
    for (;;) {
      const end = this.#ahead.indexOf(0x0a)
      if (end === -1 && this.#hasEnded && this.#ahead.length > 0) return this.#cut(this.#ahead.length)
      if (end === -1) {
        if (this.#ahead.length < lineBytesMax) return undefined
        this.#isSkipping = true
        return this.#cut(this.#ahead.length)
      }
      const text = this.#cut(end + 1)
      if (this.#isSkipping) {
        this.#isSkipping = false
        continue
      }
      if (text !== '') return text
    }
  }

  #cut(length: number): string {
    const text = this.#ahead.toString('utf8', 0, length).trim()
    this.#ahead = this.#ahead.subarray(length)
    return text
  }
}

function restOf(cursor: unknown): Buffer {
  const rest = (cursor as Partial<Place> | null | undefined)?.rest
  return Buffer.from(typeof rest === 'string' ? rest : '', 'base64')
}
