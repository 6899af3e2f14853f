import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { ApiOrder } from '../messages.ts'
import { ApiError } from './api-error.ts'

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

/**
 * May this request come in? With a token, whoever has it. Without one the listener is on loopback, where a web page that
 * somebody looks at on this machine is kept out: it says where it comes from, or what it took this address for.
 *
 * @throws ApiError 401 or 403
 */
export function admit({ headers }: IncomingMessage, { token, isSocket }: ApiOrder): void {
  if (isSocket) return
  if (token !== undefined) {
    const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
    if (given === undefined || !isSame(given, token)) throw new ApiError(401, 'expected a bearer token')
    return
  }
  if (headers.origin !== undefined) throw new ApiError(403, 'web pages may not ask without a token')
  if (headers.host !== undefined && !loopback.test(headers.host)) {
    throw new ApiError(403, `host ${headers.host.slice(0, 100)} is not this machine's loopback`)
  }
}

/** Digests are of one length, whatever was given: nothing is learnt from the time this takes. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
