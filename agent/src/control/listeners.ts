import { chmodSync, lstatSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { constants } from 'node:os'
import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import { Fault } from '@godwit/protocol/fault'
import type { ApiConfig } from '../runner/api/api-config.ts'
import type { ApiOrder } from '../runner/messages.ts'
import { because, type Log } from './log.ts'

/** A bound address that nobody accepts from in this process. */
type Handle = { close(): void; getsockname?(out: { port?: number }): number }
/**
 * Node's own way to bind without accepting, which its cluster module uses; there is no public one. A server made by the
 * public API would accept here as well, and control never touches what a model is asked.
 */
type Bind = (address: string, port: number, addressType: 4 | 6 | -1) => Handle | number
const bind = (net as unknown as { _createServerHandle: Bind })._createServerHandle

const retryMs = 5_000

type Kind = 'listen' | 'socket'
/** Once when an address cannot be had, with the system's own word for why, and once when it can. */
type TellOfApi = (api: Kind, trouble: { code: string; because: string } | undefined) => void
export type Taker = { listen(order: ApiOrder, handle: unknown): void }

/**
 * The addresses at which a slot's model is asked. Control holds them and lends them to the runner that serves: between
 * two runners, and after a crash, callers wait in the kernel's queue instead of being refused.
 */
export class Listeners {
  readonly #config: ApiConfig | undefined
  readonly #log: Log
  readonly #tell: TellOfApi
  readonly #troubled = new Set<Kind>()
  readonly #held = new Map<Kind, Handle>()
  #retry: NodeJS.Timeout | undefined

  constructor(config: ApiConfig | undefined, log: Log, tell: TellOfApi) {
    this.#config = config
    this.#log = log
    this.#tell = tell
  }

  get isOn(): boolean {
    return this.#config !== undefined
  }

  /** An address that is taken is tried again: a model serves its source with or without callers. */
  lendTo(taker: Taker): void {
    this.#lend(taker, ['listen', 'socket'])
  }

  /** Nothing serves: callers are refused rather than kept waiting. */
  close(): void {
    clearTimeout(this.#retry)
    for (const handle of this.#held.values()) handle.close()
    this.#held.clear()
  }

  #lend(taker: Taker, kinds: readonly Kind[]): void {
    clearTimeout(this.#retry)
    const missing = kinds.filter((kind) => !this.#lendOne(taker, kind))
    if (missing.length > 0) this.#retry = setTimeout(() => this.#lend(taker, missing), retryMs).unref()
  }

  /** False: it could not be had. */
  #lendOne(taker: Taker, kind: Kind): boolean {
    const { limits, tokenFile, listen, socket } = this.#config ?? {}
    if (!limits || (kind === 'listen' ? !listen : socket === undefined)) return true
    try {
      const token = kind === 'listen' && tokenFile !== undefined ? tokenIn(tokenFile) : undefined
      const open = () => (kind === 'listen' ? bound(listen!.host, listen!.port) : boundSocket(socket!))
      const handle = this.#held.get(kind) ?? open()
      this.#held.set(kind, handle)
      taker.listen({ isSocket: kind === 'socket', limits, ...(token !== undefined && { token }) }, handle)
      if (this.#troubled.delete(kind)) this.#tell(kind, undefined)
      return true
    } catch (error) {
      if (!this.#troubled.has(kind)) this.#tell(kind, troubleOf(error))
      this.#troubled.add(kind)
      this.#log.error({ api: kind, because: because(error) }, 'the local inference API cannot listen')
      return false
    }
  }
}

function bound(host: string, port: number): Handle {
  const address = host === 'localhost' ? '127.0.0.1' : host
  const handle = bind(address, port, address.includes(':') ? 6 : 4)
  return checked(typeof handle === 'number' ? handle : (lateError(handle, port) ?? handle), `${host}:${port}`)
}

/** An address that is taken is told only when one listens, which would then be the runner, and its end. */
function lateError(handle: Handle, port: number): number | undefined {
  const found: { port?: number } = {}
  const error = handle.getsockname?.(found) ?? 0
  if (error === 0 && (port === 0 || found.port === port)) return undefined
  handle.close()
  return error || -constants.errno.EADDRINUSE
}

/** A socket that is left of an agent that was killed is free; one that somebody listens on, or any other file, is not. */
function boundSocket(path: string): Handle {
  let handle = bind(path, -1, -1)
  if (handle === -constants.errno.EADDRINUSE && isForsaken(path)) {
    rmSync(path)
    handle = bind(path, -1, -1)
  }
  const held = checked(handle, path)
  chmodSync(path, 0o660)
  return held
}

/** The kernel knows which sockets are bound; the name of any other stands for nothing. */
function isForsaken(path: string): boolean {
  try {
    if (!lstatSync(path).isSocket()) return false
    const bound = readFileSync('/proc/net/unix', 'utf8')
    return !bound.split('\n').some((line) => line.endsWith(` ${path}`))
  } catch {
    return false
  }
}

function checked(handle: Handle | number, where: string): Handle {
  if (typeof handle !== 'number') return handle
  throw new Fault('listen-failed', `cannot listen on ${where}`, {
    cause: Object.assign(new Error(getSystemErrorMessage(handle)), { code: getSystemErrorName(handle) }),
  })
}

/** `EADDRINUSE` where the system refused, `listen-failed` and the like where we did. */
function troubleOf(error: unknown): { code: string; because: string } {
  const { code, cause } = error as { code?: string; cause?: { code?: string } }
  return { code: cause?.code ?? code ?? 'internal', because: because(error) }
}

function tokenIn(path: string): string {
  const token = readFileSync(path, 'utf8').trim()
  if (token === '') throw new Fault('config-wrong', `${path} holds no token`)
  return token
}
