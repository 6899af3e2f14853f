import { parse } from 'node:querystring'
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../access/access.ts'
import { mayAct, mayPublish, type Role } from '../access/role.ts'
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
    /** For devices that come for their first certificate, or after the last one ended. */
    withoutCertificate?: true
  }
  interface FastifyRequest {
    caller?: Caller
    /** Set on routes for devices when a device calls. */
    device?: Device
  }
}

const safeMethods = new Set(['GET', 'HEAD'])

/** The prefix makes browsers refuse the cookie from another host, another path, or without TLS. */
export function sessionCookieOf(isHttps: boolean): string {
  return isHttps ? '__Host-godwit_session' : 'godwit_session'
}

/** Knows who asks, or refuses. Runs before the body is read. */
export function authenticator(services: Services): (request: FastifyRequest) => Promise<void> {
  const { access, fleet, users } = services
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
    const session = sessionOf(request, services)
    const caller =
      bearer === undefined ? await fromCookie(request, session, services) : await access.byToken(bearer)
    if (!caller) {
      // A browser whose session has ended is everyday; a token that opens nothing is somebody's mistake or worse.
      if (bearer !== undefined) await users.refused('token', request.ip)
      throw unauthenticated(whyNot(session, bearer))
    }
    const role = needed === 'device' ? 'viewer' : needed
    if (!mayAct(caller, role)) throw new Refusal('forbidden', whyForbidden(caller, role))
    // What everybody may change are their own sessions and tokens: nothing for a token that was narrowed.
    if (caller.scopes && role === 'viewer' && !safeMethods.has(request.method))
      throw new Refusal('forbidden', `${caller.who} is narrowed to ${caller.scopes.join(', ')}`, {
        reason: 'outside_scope',
      })
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

/** The secret that this browser's cookie holds. */
export function sessionOf(
  { cookies }: FastifyRequest,
  { enrolment }: Pick<Services, 'enrolment'>,
): string | undefined {
  return cookies[sessionCookieOf(enrolment.addresses.httpUrl.startsWith('https:'))]
}

/** @throws Refusal when the caller's token is for other models */
export function mustPublish({ caller }: FastifyRequest, models: Iterable<string>): void {
  for (const model of models) {
    if (!caller || mayPublish(caller, model)) continue
    throw new Refusal(
      'forbidden',
      `${caller.who} may publish ${caller.scopes?.join(', ')}, not the model ${model}`,
      {
        reason: 'outside_scope',
      },
    )
  }
}

async function fromCookie(
  request: FastifyRequest,
  session: string | undefined,
  services: Services,
): Promise<Caller | undefined> {
  if (session === undefined) return undefined
  const caller = await services.access.bySession(session)
  if (caller && !safeMethods.has(request.method)) refuseForged(request, services)
  return caller
}

/**
 * For answers that last: would whoever asked be let in now? A stream must not outlive the session or token it began with.
 */
export function stillWelcome(request: FastifyRequest, services: Services): () => Promise<boolean> {
  const bearer = /^Bearer ([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const session = sessionOf(request, services)
  const { access } = services
  return async () => {
    const caller = bearer !== undefined ? await access.byToken(bearer) : await access.bySession(session ?? '')
    return caller !== undefined && mayAct(caller, 'viewer')
  }
}

/** Another site can make a browser send our cookie (less so with SameSite), but never this header, nor this origin. */
export function refuseForged({ headers }: FastifyRequest, { enrolment }: Pick<Services, 'enrolment'>): void {
  if (headers['x-godwit-csrf'] !== '1')
    throw new Refusal('forbidden', 'a browser that changes something must send the header x-godwit-csrf: 1', {
      reason: 'csrf',
    })
  const { origin, host } = headers
  if (origin === undefined) return
  // Behind a proxy the host may be the proxy's word for this hub, and the page has the name that people know.
  const own = [host, hostOf(enrolment.addresses.httpUrl)]
  const asking = hostOf(origin)
  if (asking === undefined || !own.includes(asking))
    throw new Refusal('forbidden', `a page of ${origin} asked for this, and the hub is ${host}`, {
      reason: 'csrf',
    })
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function whyForbidden({ who, roles, scopes }: Caller, needed: Role): string {
  const has = scopes ? `${roles.join(', ')} narrowed to ${scopes.join(', ') || 'nothing'}` : roles.join(', ')
  return `this needs the role ${needed}, and ${who} has ${has}`
}

function whyNot(session: string | undefined, bearer: string | undefined): string {
  if (bearer !== undefined) return 'the token is unknown, expired or revoked'
  return session === undefined ? 'log in, or send an API token' : 'the session is over: log in again'
}

function unauthenticated(detail: string, reason?: string): Refusal {
  const hint = 'A login link is made with `godwit dashboard`, a token with `godwit token create`.'
  return new Refusal('unauthenticated', detail, { hint, ...(reason && { reason }) })
}

/** Query strings are in every access log, so a secret in one is cut out before it gets there. */
export function urlForLog(url: string): string {
  const [path, query] = url.split('?', 2)
  if (query === undefined) return url
  const names = parse(query)
  return names['link'] !== undefined || names['code'] !== undefined ? `${path}?***` : url
}
