import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { ApiOrder } from '../messages.ts'
import { admit } from './access.ts'
import { ApiError } from './api-error.ts'
import { Bodies } from './body.ts'
import type { Answer } from './infer-response.ts'
import { ModelApi, type Served } from './model-api.ts'
import { json, type Reply, replyTo } from './routes.ts'

/** Told to clients in `Keep-Alive`: who has been silent for longer does not use the connection again. */
export const keepAliveMs = 5_000
const headersMsMax = 10_000

/** A listener that control owns: TCP as Node's own handle, a Unix socket's by its descriptor. */
export type Handle = { fd?: number }

/**
 * The local inference API (docs/inference-api.md). Listens on what control hands over and shares with the runner before
 * and the runner after: while one stops accepting and finishes, the other accepts already.
 */
export class InferenceApi {
  readonly #served: Served
  readonly #agentVersion: string
  readonly #servers = new Set<Server>()
  /** Kept from the garbage collector, which would close what they stand for. */
  readonly #handles: Handle[] = []
  #left: Promise<unknown> | undefined

  constructor(served: Served, agentVersion: string) {
    this.#served = served
    this.#agentVersion = agentVersion
  }

  listen(handle: Handle, order: ApiOrder): void {
    const api = new ModelApi(this.#served, order.limits, new Bodies(order.limits.bodyBytesMax))
    const server = createServer({
      keepAliveTimeout: keepAliveMs,
      headersTimeout: headersMsMax,
      requestTimeout: Math.max(headersMsMax, order.limits.deadlineMs),
      connectionsCheckingInterval: 1_000,
    })
    server.maxConnections = order.limits.connectionsMax
    server.on('request', (request, response) => void this.#handle(request, response, api, order))
    // The listener is lost for this runner; control, which holds it, gives it to the next.
    server.on('error', () => this.#servers.delete(server))
    this.#servers.add(server)
    this.#handles.push(handle)
    server.listen(handle)
  }

  /** Accepts nobody any more. Who is connected is answered once more and told to come anew. */
  stopListening(): void {
    this.#left ??= Promise.all(
      [...this.#servers].map((server) => {
        const closed = new Promise((resolve) => server.once('close', resolve))
        // Not the HTTP server's own close, which would cut connections that a client may be about to use.
        NetServer.prototype.close.call(server)
        return closed
      }),
    )
  }

  /** Resolves when nobody is connected any more, or after that long. */
  async leave(lingerMs: number): Promise<void> {
    this.stopListening()
    if (lingerMs === 0) for (const server of this.#servers) server.closeIdleConnections()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(lingerMs, 1_000))
    })
    await Promise.race([this.#left, late])
    clearTimeout(timer)
    for (const server of this.#servers) server.closeAllConnections()
  }

  async #handle(
    request: IncomingMessage,
    response: ServerResponse,
    api: ModelApi,
    order: ApiOrder,
  ): Promise<void> {
    let reply: Reply
    try {
      admit(request, order)
      reply = await replyTo(request, api, this.#agentVersion)
    } catch (error) {
      reply = refusal(error)
    }
    // Whatever of a body nobody wanted is not read to its end.
    const isRead = request.complete
    if (this.#left || !reply.mayReuse || !isRead) response.setHeader('connection', 'close')
    send(response, reply.status, reply.answer, request.method === 'HEAD')
  }
}

function send(
  response: ServerResponse,
  status: number,
  { body, contentType, jsonBytes }: Answer,
  isHead: boolean,
): void {
  if (response.destroyed) return
  response.statusCode = status
  response.setHeader('content-type', contentType)
  response.setHeader('content-length', body.length)
  if (jsonBytes !== undefined) response.setHeader('inference-header-content-length', jsonBytes)
  if (status === 503) response.setHeader('retry-after', '1')
  if (status === 401) response.setHeader('www-authenticate', 'Bearer')
  response.on('error', () => {})
  response.end(isHead ? undefined : body)
}

function refusal(error: unknown): Reply {
  const { status, message } = error instanceof ApiError ? error : new ApiError(500, (error as Error).message)
  return { status, answer: json({ error: message }), mayReuse: true }
}
