import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A server of blobs that can be a bad one. Honest by default: ranges, ETag, 404 for what it does not hold. Counts what was
 * asked of it.
 */
export class BlobServer {
  readonly blobs = new Map<string, Uint8Array>()
  readonly asked: { sha256: string; range: string | undefined; authorization: string | undefined }[] = []
  /** Looks at a request first; returns true when it has answered it. */
  misbehave: (sha256: string, response: ServerResponse, range: string | undefined) => boolean = () => false
  ignoresRanges = false
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(): Promise<BlobServer> {
    const server = createServer()
    const made = new BlobServer(server)
    server.on('request', (request, response) => {
      const sha256 = /^\/blobs\/sha256\/([0-9a-f]{64})$/.exec(request.url ?? '')?.[1] ?? ''
      const { range, authorization } = request.headers
      made.asked.push({ sha256, range, authorization })
      if (!made.misbehave(sha256, response, range)) made.#answer(sha256, range, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return made
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer(sha256: string, range: string | undefined, response: ServerResponse): void {
    const bytes = this.blobs.get(sha256)
    if (!bytes) {
      response.writeHead(404).end()
      return
    }
    const etag = `"${sha256.slice(0, 16)}"`
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
    if (from === undefined || this.ignoresRanges) {
      response.writeHead(200, { etag, 'content-length': String(bytes.length) }).end(bytes)
      return
    }
    const part = bytes.subarray(Number(from), Number(to) + 1)
    response
      .writeHead(206, {
        ...{ etag, 'content-length': String(part.length) },
        'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
      })
      .end(part)
  }
}
