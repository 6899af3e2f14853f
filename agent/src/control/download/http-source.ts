import type { DurationMs } from '@godwit/protocol/units'
import type { BlockSource, Cost, Delivery, SourceEnd } from './block-source.ts'
import { bytesOf, firstRun, type Wanted } from './plan.ts'

/** Large enough that the round trip stops to matter, small enough that a cut costs little (5.5: 1 MiB parts). */
const rangeBytesMax = 1_048_576
/** Silence after which a connection is taken for half open. */
const stallMsDefault = 20_000
const retryAfterMsMax = 3_600_000

export const releaseHeader = 'x-godwit-release'

export type HttpSourceOptions = {
  name: string
  url: string
  cost?: Cost
  /** Anybody's server: it gets no token of ours, and one wrong block ends our dealings. */
  isStranger?: boolean
  headers?: () => Record<string, string>
  /** Says which release the file is for, so that a gateway may fetch it for us. */
  namesRelease?: boolean
  fetch: typeof fetch
  stallMs?: DurationMs
  /** Told when our own hub takes our token for wrong; the clock may be to blame. */
  onUnauthorised?: () => void
}

/** The beginning of a block whose end did not come: on a link that dies often it is the only way to finish one. */
type Begun = { blob: string; index: number; bytes: Buffer }

/** HTTP Range from the hub, a gateway or any mirror: digests rule, so none of them need be trusted. */
export function httpSource(options: HttpSourceOptions): BlockSource {
  const memory: Memory = { partial: undefined, etag: undefined }
  return {
    name: options.name,
    cost: options.cost ?? 'link',
    isStranger: options.isStranger ?? false,
    async fetch(delivery) {
      let wanted = delivery.wanted
      while (wanted.length > 0) {
        const run = firstRun(wanted, rangeBytesMax)
        const { end, taken } = await fetchRun(options, memory, delivery, run, wanted)
        if (end.end !== 'complete') return end
        wanted = wanted.filter(({ index }) => !taken.has(index))
      }
      return { end: 'complete' }
    },
  }
}

type Memory = { partial: Begun | undefined; etag: { blob: string; value: string } | undefined }
type RunEnd = { end: SourceEnd; taken: ReadonlySet<number> }

async function fetchRun(
  options: HttpSourceOptions,
  memory: Memory,
  delivery: Delivery,
  run: readonly Wanted[],
  wanted: readonly Wanted[],
): Promise<RunEnd> {
  const { file, signal, release } = delivery
  const first = run[0]!
  const until = first.offset + bytesOf(run)
  const { partial } = memory
  const begun = partial?.blob === file.sha256 && partial.index === first.index ? partial.bytes : undefined
  const from = first.offset + (begun?.length ?? 0)
  const etag = memory.etag?.blob === file.sha256 ? memory.etag.value : undefined
  const stall = new StallWatch(options.stallMs ?? stallMsDefault)
  const taken = new Set<number>()
  let hasAnswered = false
  try {
    const response = await options.fetch(new URL(`/blobs/sha256/${file.sha256}`, options.url), {
      headers: {
        ...options.headers?.(),
        'accept-encoding': 'identity',
        ...(options.namesRelease && { [releaseHeader]: `${release.model}/${release.version}` }),
        range: `bytes=${from}-${until - 1}`,
        // Half of an old file and half of a new one are no file.
        ...(etag !== undefined && { 'if-range': etag }),
      },
      signal: AbortSignal.any([signal, stall.signal]),
      redirect: 'error',
    })
    hasAnswered = true
    stall.heard()
    if (response.status !== 206 && response.status !== 200) {
      await response.body?.cancel()
      if (response.status === 401) options.onUnauthorised?.()
      return { end: ended(options.name, response, file.sha256), taken }
    }
    remember(memory, file.sha256, response.headers.get('etag'))
    const whole = response.status === 200
    const flaw = whole ? tooMuch(options.name, delivery, wanted) : wrongRange(options.name, response, from)
    if (flaw) {
      await response.body?.cancel()
      return { end: flaw, taken }
    }
    // The whole file comes, whatever we asked for: then what else is wanted of it need not be asked for again.
    const reader = whole
      ? new BlockReader(memory, delivery, wanted, 0, undefined, taken)
      : new BlockReader(memory, delivery, run, from, begun, taken)
    const isExact = !whole && Number(response.headers.get('content-length')) === until - from
    for await (const chunk of response.body ?? []) {
      // Waiting for our own disk and our own rate is not the server's silence.
      stall.stop()
      const flow = await reader.read(chunk as Uint8Array)
      stall.heard()
      if (flow === 'wrong')
        return {
          end: retryable('integrity', `${options.name}: block ${reader.wrong} has the wrong digest`),
          taken,
        }
      // Endless data: the rest is not ours to read. An answer of the right length is read to its end, so that the
      // connection can be used again.
      if (flow === 'enough' && !isExact) break
    }
    if (reader.isDone) return { end: { end: 'complete' }, taken }
    reader.keepPartial()
    return { end: retryable('link_lost', `${options.name}: ended ${reader.bytesShort} bytes short`), taken }
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    const detail = `${options.name}: ${stall.signal.aborted ? `silent for ${stall.ms} ms` : messageOf(cause)}`
    const end = retryable(stall.signal.aborted ? 'slow_source' : 'link_lost', detail)
    return { end: hasAnswered ? end : { ...end, unreachable: true }, taken }
  } finally {
    stall.stop()
  }
}

/** Cuts a stream of bytes into the blocks that are wanted of it; what lies between them is passed over. */
class BlockReader {
  readonly #memory: Memory
  readonly #delivery: Delivery
  readonly #wanted: Wanted[]
  readonly #taken: Set<number>
  /** The beginning of the first block, where an earlier connection had brought it. */
  readonly #begun: Buffer | undefined
  #at: number
  #buffer: Buffer | undefined
  #filled = 0
  wrong: number | undefined

  constructor(
    memory: Memory,
    delivery: Delivery,
    wanted: readonly Wanted[],
    from: number,
    begun: Buffer | undefined,
    taken: Set<number>,
  ) {
    this.#memory = memory
    this.#delivery = delivery
    this.#wanted = [...wanted]
    this.#at = from
    this.#begun = begun
    this.#taken = taken
  }

  get isDone(): boolean {
    return this.#wanted.length === 0
  }

  get bytesShort(): number {
    return bytesOf(this.#wanted) - this.#filled
  }

  async read(bytes: Uint8Array): Promise<'more' | 'enough' | 'wrong'> {
    this.#delivery.received(bytes.length)
    try {
      for (let rest = bytes; rest.length > 0 && this.#wanted.length > 0; ) {
        const block = this.#wanted[0]!
        const skip = Math.min(rest.length, Math.max(0, block.offset - this.#at))
        rest = rest.subarray(skip)
        this.#at += skip
        if (rest.length === 0) break
        rest = this.#fill(block, rest)
        if (this.#filled < block.length) break
        if (!(await this.#finish(block))) return 'wrong'
      }
    } catch (error) {
      this.keepPartial()
      throw error
    }
    // Before anything else may throw: the link can die at the next byte.
    this.keepPartial()
    return this.isDone ? 'enough' : 'more'
  }

  #fill(block: Wanted, bytes: Uint8Array): Uint8Array {
    if (!this.#buffer) {
      this.#buffer = Buffer.allocUnsafeSlow(block.length)
      this.#filled = this.#at - block.offset
      if (this.#filled > 0) this.#begun?.copy(this.#buffer)
    }
    const count = Math.min(bytes.length, block.length - this.#filled)
    this.#buffer.set(bytes.subarray(0, count), this.#filled)
    this.#filled += count
    this.#at += count
    return bytes.subarray(count)
  }

  async #finish(block: Wanted): Promise<boolean> {
    const bytes = this.#buffer!
    this.#buffer = undefined
    this.#filled = 0
    this.#memory.partial = undefined
    if (!(await this.#delivery.take(block, bytes))) {
      this.wrong = block.index
      return false
    }
    this.#wanted.shift()
    this.#taken.add(block.index)
    return true
  }

  keepPartial(): void {
    const block = this.#wanted[0]
    if (!this.#buffer || this.#filled === 0 || !block) return
    this.#memory.partial = {
      blob: this.#delivery.file.sha256,
      index: block.index,
      bytes: this.#buffer.subarray(0, this.#filled),
    }
  }
}

/** Aborts after a silence; every byte starts it anew. */
class StallWatch {
  readonly ms: DurationMs
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(ms: DurationMs) {
    this.ms = ms
    this.heard()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  heard(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#controller.abort(new Error('silent')), this.ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

/** A strong one only (RFC 9110 §13.1.5): a weak one says nothing of bytes. */
function remember(memory: Memory, blob: string, value: string | null): void {
  memory.etag = value !== null && /^"[\x21-\x7e]{1,200}"$/.test(value) ? { blob, value } : undefined
}

/** A server without ranges sends everything: used when what we have already fits the plan a second time (5.5.4). */
function tooMuch(name: string, delivery: Delivery, wanted: readonly Wanted[]): SourceEnd | undefined {
  const last = wanted.at(-1)!
  const comes = last.offset + last.length
  const room = delivery.room()
  if (comes <= room) return undefined
  const detail = `${name}: sends the whole file for a range, ${comes} bytes where the plan has room for ${room}`
  return { end: 'refused', code: 'budget_bytes', detail }
}

function wrongRange(name: string, response: Response, from: number): SourceEnd | undefined {
  const header = response.headers.get('content-range')
  const start = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(header ?? '')?.[1]
  // Absent is against the standard and harmless: digests decide.
  if (header === null || Number(start) === from) return undefined
  return { end: 'refused', code: 'internal', detail: `${name}: sent ${header}, asked for bytes from ${from}` }
}

function retryable(code: 'integrity' | 'link_lost' | 'slow_source', detail: string) {
  return { end: 'retryable', code, detail } as const
}

/** 5.5.4: what will not change by asking again is refused; the hub must be asked anew, and not this address. */
function ended(name: string, response: Response, sha256: string): SourceEnd {
  const { status } = response
  const detail = `${name}: ${status} for blob ${sha256}`
  const mayPass = status === 408 || status === 425 || status === 429 || status >= 500
  if (!mayPass) return { end: 'refused', code: 'internal', detail }
  const retryAfterMs = retryAfterOf(response.headers.get('retry-after'))
  return {
    end: 'retryable',
    code: 'link_lost',
    detail,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

/** Seconds, or a date (RFC 9110 §10.2.3). Dates are taken against `nowMs`, since both are wall clocks. */
export function retryAfterOf(header: string | null, nowMs = Date.now()): DurationMs | undefined {
  if (header === null) return undefined
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) ? Math.min(retryAfterMsMax, Math.max(0, ms)) : undefined
}

function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message} (${cause.message})` : message
}
