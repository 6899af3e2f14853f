import { readFileSync } from 'node:fs'
import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { Fault } from '@godwit/protocol/fault'
import { type Clock, sleep } from '../clock.ts'
import { pendingOf } from './inbox.ts'
import { Pace } from './pace.ts'
import { mappingFor, readingOfValue, stampOf } from './reading-of.ts'
import type { Mapping, Reading, Source, SourceConfig } from './source.ts'

type Config = Extract<SourceConfig, { kind: 'http' }>

/** The newest stamp that was taken, for an answer with it again is no new reading, and what is left of the last answer. */
type Place = { newestAt: number | null; pending: Reading[] }

const answerBytesMax = 1 << 20
const deadlineMs = 10_000
const backoffMsMax = 60_000

/** Asks an address for its reading, at a pace. Something that does not answer is asked again, less and less often. */
export async function openHttp(
  config: Config,
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
): Promise<Source> {
  return new PolledSource(config, mappingFor(fields, config), cursor, clock)
}

class PolledSource implements Source {
  readonly #config: Config
  readonly #mapping: Mapping
  readonly #headers: Record<string, string>
  readonly #ca: Buffer | undefined
  readonly #clock: Clock
  readonly #pace: Pace
  #newestAt: number | null
  #pending: Reading[]
  #failures = 0

  constructor(config: Config, mapping: Mapping, cursor: unknown, clock: Clock) {
    this.#config = config
    this.#mapping = mapping
    this.#newestAt = newestOf(cursor)
    this.#pending = pendingOf(cursor)
    this.#clock = clock
    this.#pace = new Pace(clock, config.intervalMs)
    this.#headers = { accept: 'application/json' }
    if (config.tokenFile !== undefined)
      this.#headers['authorization'] = `Bearer ${secretIn(config.tokenFile)}`
    this.#ca = config.caFile === undefined ? undefined : readFileSync(config.caFile)
  }

  async next(signal: AbortSignal) {
    while (this.#pending.length === 0) {
      await this.#pace.next(signal)
      const answer = await this.#ask(signal)
      if (answer.ok) {
        this.#failures = 0
        this.#pending = this.#newIn(answer.value)
        continue
      }
      this.#pending = [{ at: this.#clock.now(), values: {}, flaw: answer.detail }]
      const waitMs = Math.min(
        backoffMsMax,
        this.#config.intervalMs * (2 ** Math.min(this.#failures++, 16) - 1),
      )
      // An aborted wait may be left out: the pace holds the least.
      if (waitMs > 0) await sleep(this.#clock, waitMs, signal).catch(() => {})
    }
    if (signal.aborted) throw signal.reason
    return { reading: this.#pending.shift()!, cursor: undefined }
  }

  async close(): Promise<void> {}

  position(): Place {
    return { newestAt: this.#newestAt, pending: [...this.#pending] }
  }

  /** Several readings in one answer are an array of them. */
  #newIn(value: unknown): Reading[] {
    const readings: Reading[] = []
    for (const one of Array.isArray(value) ? value : [value]) {
      const at = stampOf(one, this.#mapping)
      if (at !== undefined && this.#newestAt !== null && at <= this.#newestAt) continue
      if (at !== undefined) this.#newestAt = at
      readings.push(readingOfValue(one, this.#mapping, this.#clock.now()))
    }
    return readings
  }

  #ask(signal: AbortSignal): Promise<{ ok: true; value: unknown } | { ok: false; detail: string }> {
    const { url } = this.#config
    return new Promise((resolve, reject) => {
      const fail = (because: string) => resolve({ ok: false, detail: `${url}: ${because}` })
      const options = {
        headers: this.#headers,
        signal,
        timeout: deadlineMs,
        ...(this.#ca && { ca: this.#ca }),
      }
      const request = (url.startsWith('https:') ? getHttps : getHttp)(url, options, (response) => {
        if (response.statusCode !== 200) {
          response.resume()
          return fail(`status ${response.statusCode}, expected 200`)
        }
        textOf(response).then(
          (text) => {
            try {
              resolve({ ok: true, value: JSON.parse(text) })
            } catch (error) {
              fail(`no JSON: ${(error as Error).message}`)
            }
          },
          (error: Error) => (signal.aborted ? reject(signal.reason) : fail(error.message)),
        )
      })
      request.on('timeout', () => request.destroy(new Error(`no answer within ${deadlineMs} ms`)))
      request.on('error', (error) => (signal.aborted ? reject(signal.reason) : fail(error.message)))
    })
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += chunk.length
    if (size > answerBytesMax) throw new Error(`more than ${answerBytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function newestOf(cursor: unknown): number | null {
  const newestAt = (cursor as Partial<Place> | null | undefined)?.newestAt
  return typeof newestAt === 'number' ? newestAt : null
}

function secretIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new Fault('source-unavailable', `cannot read the token in ${path}`, { cause })
  }
}
