import { parse } from 'node:querystring'
import type { FastifyRequest } from 'fastify'
import { type Caller, mayAct, type Role } from '../access/access.ts'
import type { Device } from '../fleet/device.ts'
import type { Services } from '../services.ts'
import { isOfPage } from './page-address.ts'
import { Refusal } from './problem.ts'

/** `device`: a device with its token, or a viewer. */
export type RouteAccess = Role | 'open' | 'device'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call this route. Absent: a viewer for GET and HEAD, an operator for the rest. */
    access?: RouteAccess
  }
  interface FastifyRequest {
    caller?: Caller
    /** Set on routes for devices when a device calls. */
    device?: Device
  }
}

export const sessionCookie = 'godwit_session'
const safeMethods = new Set(['GET', 'HEAD'])

/** Knows who asks, or refuses. Runs before the body is read. */
export function authenticator({ access, fleet }: Services): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const needed = accessOf(request)
    if (needed === 'open') return
    const bearer = /^Bearer ([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1]
    const deviceId = request.headers['x-godwit-device']
    if (needed === 'device' && typeof deviceId === 'string') {
      const verdict = await fleet.authenticate(deviceId, bearer ?? '', 'http')
      if (!verdict.trusted) throw unauthenticated(verdict.detail, verdict.because.replaceAll('-', '_'))
      request.device = verdict.value
      return
    }
    const caller = bearer === undefined ? await fromCookie(request, access) : await access.byToken(bearer)
    if (!caller) throw unauthenticated(whyNot(request, bearer))
    const role = needed === 'device' ? 'viewer' : needed
    if (!mayAct(caller.role, role)) {
      throw new Refusal('forbidden', `this needs the role ${role}, and ${caller.who} has ${caller.role}`)
    }
    request.caller = caller
  }
}

/** The page and its files are the same for everybody; what they show comes from the API, which asks who they are. */
function accessOf(request: FastifyRequest): RouteAccess {
  const { access } = request.routeOptions.config
  if (access !== undefined) return access
  if (!safeMethods.has(request.method)) return 'operator'
  return isOfPage(request.url) ? 'open' : 'viewer'
}

/** After authentication has run. */
export function whoOf(request: FastifyRequest): string {
  if (request.caller) return request.caller.who
  return request.device ? `device:${request.device.id}` : 'anonymous'
}

async function fromCookie(request: FastifyRequest, access: Services['access']): Promise<Caller | undefined> {
  const session = request.cookies[sessionCookie]
  if (session === undefined) return undefined
  const caller = await access.bySession(session)
  // Another site can make a browser send our cookie (less so with SameSite), but never this header.
  if (caller && !safeMethods.has(request.method) && request.headers['x-godwit-csrf'] !== '1') {
    throw new Refusal('forbidden', 'a browser that changes something must send the header x-godwit-csrf: 1')
  }
  return caller
}

function whyNot({ cookies }: FastifyRequest, bearer: string | undefined): string {
  if (bearer !== undefined) return 'the token is unknown, expired or revoked'
  return cookies[sessionCookie] === undefined
    ? 'log in, or send an API token'
    : 'the session is over: log in again'
}

function unauthenticated(detail: string, reason?: string): Refusal {
  const hint = 'A login link is made with `godwit dashboard`, a token with `godwit token create`.'
  return new Refusal('unauthenticated', detail, { hint, ...(reason && { reason }) })
}

/** Query strings are in every access log, so a secret in one is cut out before it gets there. */
export function urlForLog(url: string): string {
  const [path, query] = url.split('?', 2)
  return query !== undefined && parse(query)['link'] !== undefined ? `${path}?link=***` : url
}
