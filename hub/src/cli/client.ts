import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { Target } from './context.ts'
import { CliError, type ExitName } from './exit.ts'
import { privateFetch } from './private-fetch.ts'

type Problem = {
  type?: string
  title?: string
  detail?: string
  errors?: { pointer?: string; parameter?: string; detail: string }[]
  request_id?: string
  hint?: string
}

const exitByStatus: Record<number, ExitName> = {
  401: 'auth',
  403: 'auth',
  404: 'notFound',
  409: 'conflict',
  412: 'conflict',
  422: 'failure',
  428: 'conflict',
}

/** The codes by which Node and OpenSSL say that somebody answered, and is not who was asked for. */
const unbelieved =
  /^(ERR_TLS_CERT_|CERT_|SELF_SIGNED_CERT|DEPTH_ZERO_|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)|INVALID_(CA|PURPOSE))/

/** The hub over HTTP, for the command line: every failure becomes one sentence with a code and a hint. */
export class HubClient {
  readonly url: string
  /** What this machine holds the fleet's first root to be; absent: it never met this hub. */
  readonly pinnedRoot: Uint8Array | undefined
  readonly #token: string
  readonly #over: typeof fetch

  constructor(target: Target) {
    this.url = target.url
    this.pinnedRoot = target.root === undefined ? undefined : Buffer.from(target.root, 'base64')
    this.#token = target.token
    this.#over = target.ca === undefined ? fetch : privateFetch(target.ca)
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>('GET', path)
  }

  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T> {
    return this.#json<T>(method, path, body)
  }

  /** Bytes as they are: signed documents must not be parsed and printed again on the way. */
  async bytes(path: string): Promise<Uint8Array> {
    const answer = await this.#ask('GET', path, {})
    return new Uint8Array(await answer.arrayBuffer())
  }

  /** The body as it arrives, for what may be larger than memory. */
  async stream(path: string): Promise<Readable> {
    const answer = await this.#ask('GET', path, {})
    return answer.body ? Readable.fromWeb(answer.body as NodeReadableStream) : Readable.from([])
  }

  async sendBytes<T>(method: 'POST' | 'PUT', path: string, bytes: Uint8Array, type: string): Promise<T> {
    const answer = await this.#ask(method, path, {
      headers: { 'content-type': type },
      body: bytes as NonNullable<RequestInit['body']>,
    })
    return (await answer.json()) as T
  }

  /** Streams a file, so that its size is no matter of memory. */
  async sendFile(path: string, file: string): Promise<void> {
    const size = statSync(file).size
    await this.#ask('PUT', path, {
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
      body: Readable.toWeb(createReadStream(file)) as NonNullable<RequestInit['body']>,
      duplex: 'half',
    } as RequestInit)
  }

  async exists(path: string): Promise<boolean> {
    const answer = await this.#fetch('HEAD', path, {})
    await answer.arrayBuffer()
    return answer.ok
  }

  /** Follows `nextCursor`, at most `most` items. */
  async list<T>(path: string, most = 10_000): Promise<T[]> {
    const items: T[] = []
    let cursor: string | undefined
    do {
      const joint = path.includes('?') ? '&' : '?'
      const page = await this.get<{ items: T[]; nextCursor?: string | null }>(
        cursor ? `${path}${joint}cursor=${encodeURIComponent(cursor)}` : path,
      )
      items.push(...page.items)
      cursor = page.nextCursor ?? undefined
    } while (cursor && items.length < most)
    return items.slice(0, most)
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.#ask(
      method,
      path,
      body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    )
    const text = await answer.text()
    try {
      return (text ? JSON.parse(text) : undefined) as T
    } catch {
      throw new CliError(
        'failure',
        'not_a_hub',
        `${this.url}${path} answered no JSON: ${JSON.stringify(text.slice(0, 80))}`,
        'is that the address of a hub, or of something before it?',
      )
    }
  }

  async #ask(method: string, path: string, init: RequestInit): Promise<Response> {
    const answer = await this.#fetch(method, path, init)
    if (answer.ok) return answer
    throw errorOf(method, path, answer.status, await answer.text())
  }

  async #fetch(method: string, path: string, init: RequestInit): Promise<Response> {
    try {
      return await this.#over(this.url + path, {
        ...init,
        method,
        headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
      })
    } catch (cause) {
      const { message: reason, code } = (((cause as Error).cause ?? cause) as NodeJS.ErrnoException) ?? {}
      if (code !== undefined && unbelieved.test(code))
        throw new CliError(
          'verification',
          'hub_certificate',
          `the certificate of ${this.url} is not believed: ${reason}`,
          'on its machine: godwit hub ca export --out FILE; here: godwit login URL --ca FILE',
        )
      throw new CliError(
        'failure',
        'hub_unreachable',
        `no hub answers at ${this.url}: ${reason}`,
        'is it running? godwit hub run',
      )
    }
  }
}

function errorOf(method: string, path: string, status: number, text: string): CliError {
  let problem: Problem = {}
  try {
    problem = JSON.parse(text) as Problem
  } catch {
    problem = { detail: text.slice(0, 200) }
  }
  const parts = (problem.errors ?? [])
    .filter((e) => e.detail !== problem.detail)
    .map((e) => `\n  ${e.pointer ?? e.parameter ?? ''} ${e.detail}`.replace('\n   ', '\n  '))
  const message = `${problem.detail ?? problem.title ?? `${method} ${path} answered ${status}`}${parts.join('')}`
  const code = problem.type?.split('/').at(-1) ?? `http_${status}`
  const request = problem.request_id ? `request ${problem.request_id}` : undefined
  return new CliError(exitByStatus[status] ?? 'failure', code, message, problem.hint ?? request)
}
