import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

export const dist = join(fileURLToPath(new URL('.', import.meta.url)), '../../hub/dashboard/dist')

type Json = Record<string, unknown>
/** Path (with its query, or else without) to what a GET of it answers. */
export type Answers = Record<string, unknown>
export type Received = { method: string; path: string; body: string; csrf: string | undefined }

/** As strict as a hub may be: scripts and styles of its own alone, nothing inline. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}

/** The other party of the dashboard: serves the built page, the given answers, and a stream of events. */
export class FakeHub {
  readonly answers: Answers
  readonly received: Received[] = []
  url = ''
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  readonly #streams = new Set<ServerResponse>()
  #eventId = 0

  constructor(answers: Answers) {
    this.answers = answers
  }

  async listen(): Promise<this> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  async close(): Promise<void> {
    this.cutStreams()
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  get streams(): number {
    return this.#streams.size
  }

  tell(type: string, data: Json): void {
    this.#eventId += 1
    for (const stream of this.#streams) {
      stream.write(`id: ${this.#eventId}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
    }
  }

  cutStreams(): void {
    for (const stream of this.#streams) stream.destroy()
    this.#streams.clear()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://hub')
    response.setHeader('content-security-policy', policy)
    if (url.pathname === '/api/v1/events') return this.#stream(response)
    if (request.method !== 'GET') return this.#take(request, response)
    if (url.pathname.startsWith('/api/') || url.pathname.startsWith('/blobs/'))
      return this.#answer(url, response)
    return this.#file(url.pathname, response)
  }

  #stream(response: ServerResponse): void {
    if (this.answers['/api/v1/session'] === undefined) {
      problem(response, 401, 'not logged in')
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.write('retry: 300\n\n: hb\n\n')
    this.#streams.add(response)
    response.on('close', () => this.#streams.delete(response))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += chunk
    const csrf = request.headers['x-godwit-csrf'] as string | undefined
    this.received.push({ method: request.method ?? '', path: request.url ?? '', body, csrf })
    if (csrf !== '1') return problem(response, 403, 'x-godwit-csrf is missing')
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }

  #answer(url: URL, response: ServerResponse): void {
    const value = this.answers[url.pathname + url.search] ?? this.answers[url.pathname]
    if (value === undefined) {
      const isLogin = url.pathname === '/api/v1/session'
      problem(response, isLogin ? 401 : 404, isLogin ? 'not logged in' : `there is no ${url.pathname}`)
      return
    }
    const isText = typeof value === 'string'
    response.writeHead(200, { 'content-type': isText ? 'text/plain' : 'application/json' })
    response.end(isText ? value : JSON.stringify(value))
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const wanted = extname(path) === '' ? '/index.html' : normalize(path)
    try {
      const bytes = await readFile(join(dist, wanted))
      response
        .writeHead(200, { 'content-type': types[extname(wanted)] ?? 'application/octet-stream' })
        .end(bytes)
    } catch {
      problem(response, 404, `no file ${wanted}`)
    }
  }
}

function problem(response: ServerResponse, status: number, detail: string): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ type: 'about:blank', title: 'Refused', status, detail }))
}
