import { type FileHandle, open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { Fault } from '@godwit/protocol/fault'
import { blockRange } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import { releaseHeader } from '../download/http-source.ts'
import { because, type Log } from '../log.ts'
import type { GatewayCache } from './cache.ts'
import type { ListedBlobs } from './listed.ts'
import type { Pull, Pulls } from './pulls.ts'
import { type ByteRange, rangeOf } from './range.ts'

export type GatewayDeps = {
  cache: GatewayCache
  /** Where this device keeps verified blobs of its own. */
  ownBlob: (sha256: string) => string
  listed: ListedBlobs
  /** Absent: nothing is fetched for others. */
  pulls: Pulls | undefined
  log: Log
}

/** A handful of neighbours; more sockets than this are an attack or a mistake. */
const connectionsMax = 64
const retryAfterSeconds = 5
/** Of silence on a connection. Longer than a device waits for a byte: who is silent for so long has gone, or stopped reading. */
const idleMsMax = 60_000

/**
 * Blobs for the neighbours, by digest, with ranges. Whoever asks is not asked who they are: a digest is all the proof
 * that a reader needs, and a blob that somebody can name is no secret from them. Nothing else is served, nothing is taken.
 */
export class Gateway {
  readonly #deps: GatewayDeps
  readonly #server: Server

  constructor(deps: GatewayDeps) {
    this.#deps = deps
    this.#server = createServer({ requestTimeout: 15_000, headersTimeout: 10_000 }, (request, response) => {
      this.#answer(request, response).catch((error) => {
        deps.log.warn({ because: because(error) }, 'gateway: an answer was cut off')
        response.destroy()
      })
    })
    this.#server.maxConnections = connectionsMax
    this.#server.timeout = idleMsMax
  }

  /** @param address `HOST:PORT` */
  async listen(address: string): Promise<number> {
    const colon = address.lastIndexOf(':')
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
    const port = Number(address.slice(colon + 1))
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new Fault('cannot-listen', `gateway: cannot listen on ${address}`, { cause })),
      )
      this.#server.listen(port, host, resolve)
    })
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    this.#deps.pulls?.stop()
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
    this.#deps.cache.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url, headers } = request
    if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405, { allow: 'GET, HEAD' })
    const sha256 = /^\/blobs\/sha256\/([0-9a-f]{64})$/.exec(url ?? '')?.[1]
    if (sha256 === undefined) return refuse(response, 404)
    const letGo = this.#deps.cache.hold(sha256)
    try {
      if (await this.#serveHeld(sha256, request, response)) return
      const { listed, pulls } = this.#deps
      if (!pulls) return refuse(response, 404)
      const underWay = pulls.underWay(sha256)
      if (underWay) return await this.#servePull(underWay, request, response)
      const name = typeof headers[releaseHeader] === 'string' ? headers[releaseHeader] : undefined
      let found = await listed.find(name, sha256)
      if (found && 'first' in found) {
        await pulls.of(found.first.release, found.first.file)?.arrived(0)
        found = await listed.find(name, sha256)
      }
      if (!found) return refuse(response, 404)
      const pull = 'first' in found ? undefined : pulls.of(found.release, found.file)
      if (!pull) return refuse(response, 503, { 'retry-after': String(retryAfterSeconds) })
      await this.#servePull(pull, request, response)
    } finally {
      letGo()
    }
  }

  async #serveHeld(sha256: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { cache, ownBlob } = this.#deps
    const file = await firstOf([ownBlob(sha256), cache.paths.blob(sha256)])
    if (!file) return false
    try {
      const { size } = await file.stat()
      const range = begin(request, response, sha256, size)
      if (range && request.method === 'GET') {
        const { offset, length } = range
        const end = offset + length - 1
        await pipeline(file.createReadStream({ start: offset, end, autoClose: false }), response)
      } else response.end()
      return true
    } finally {
      await file.close()
    }
  }

  /** Each block as soon as it is here, so that neighbours need not wait for the whole. */
  async #servePull(pull: Pull, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { file } = pull
    const range = begin(request, response, file.sha256, file.sizeBytes)
    if (!range || request.method === 'HEAD') {
      response.end()
      return
    }
    // Or the neighbour takes our waiting for a silence.
    response.flushHeaders()
    const from = range.offset
    const until = range.offset + range.length
    let handle: FileHandle | undefined
    try {
      for (const index of blocksOf(file, range)) {
        if (!(await pull.arrived(index)) || response.destroyed) return void response.destroy()
        const { paths } = this.#deps.cache
        handle ??= await firstOf([paths.part(file.sha256), paths.blob(file.sha256)])
        if (!handle) return void response.destroy()
        const block = blockRange(file, index)
        const start = Math.max(from, block.offset)
        const length = Math.min(until, block.offset + block.length) - start
        const bytes = Buffer.alloc(length)
        const { bytesRead } = await handle.read(bytes, 0, length, start)
        if (bytesRead < length) return void response.destroy()
        if (!response.write(bytes)) await drained(response)
      }
      response.end()
    } finally {
      await handle?.close()
    }
  }
}

/** Status and headers; undefined when there is no body to send. */
function begin(
  { headers }: IncomingMessage,
  response: ServerResponse,
  sha256: string,
  size: number,
): ByteRange | undefined {
  const etag = `"sha256:${sha256}"`
  response.setHeader('etag', etag)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('content-type', 'application/octet-stream')
  response.setHeader('cache-control', 'public, max-age=31536000, immutable')
  if (headers['if-none-match'] === etag) {
    response.writeHead(304)
    return undefined
  }
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag
  const range = rangeOf(isSame ? headers.range : undefined, size)
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${size}` })
    return undefined
  }
  const { offset, length } = range ?? { offset: 0, length: size }
  if (range) response.setHeader('content-range', `bytes ${offset}-${offset + length - 1}/${size}`)
  response.writeHead(range ? 206 : 200, { 'content-length': String(length) })
  return { offset, length }
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, 'content-length': '0' }).end()
}

function blocksOf({ blockBytes }: BundleFile, { offset, length }: ByteRange): number[] {
  const first = Math.floor(offset / blockBytes)
  const last = Math.floor((offset + length - 1) / blockBytes)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

async function firstOf(paths: readonly string[]): Promise<FileHandle | undefined> {
  for (const path of paths) {
    try {
      return await open(path, 'r')
    } catch {}
  }
  return undefined
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go)
      response.off('close', go)
      resolve()
    }
    response.on('drain', go)
    response.on('close', go)
  })
}
