import type { CookieSerializeOptions } from '@fastify/cookie'
import { toRfc3339 } from '@godwit/protocol/units'
import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import type { StartedSession } from '../../access/access.ts'
import { passwordLengthMax, passwordLengthMin } from '../../access/password.ts'
import { type Role, roles } from '../../access/role.ts'
import { userNamePattern } from '../../access/user.ts'
import type { Services } from '../../services.ts'
import { refuseForged, sessionCookieOf, sessionOf, whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { userView } from '../views.ts'

export const RoleName = Type.Unsafe<Role>(Type.String({ enum: [...roles] }))
const Password = Type.String({ minLength: passwordLengthMin, maxLength: passwordLengthMax })
const Secret = Type.String({ minLength: 16, maxLength: 128 })
/** Each costs a tenth of a second of scrypt or a write: people do it a few times a day. */
export const seldom = { max: 30, timeWindow: 60_000 }

/** Logs a browser in: the cookie holds what no script can read and no other site can send. */
export function setSession(
  reply: FastifyReply,
  { config, enrolment }: Pick<Services, 'config' | 'enrolment'>,
  { session }: StartedSession,
): FastifyReply {
  const maxAge = Math.floor(config.access.sessionMs / 1_000)
  const isHttps = enrolment.addresses.httpUrl.startsWith('https:')
  return reply.setCookie(sessionCookieOf(isHttps), session, { ...cookieOptions(isHttps), maxAge })
}

export function cookieOptions(isHttps: boolean): CookieSerializeOptions {
  return { httpOnly: true, sameSite: 'strict', secure: isHttps, path: '/' }
}

/** How a browser gets in and out: by name and password, by a link that works once, by an invitation. */
export const sessionRoutes: RoutePlugin = (app, services) => {
  const { access, config, enrolment, users } = services
  const isHttps = () => enrolment.addresses.httpUrl.startsWith('https:')

  app.get(
    '/login',
    {
      config: { access: 'open', rateLimit: seldom },
      schema: {
        hide: true,
        querystring: Type.Object({ link: Secret, setup: Type.Optional(Type.String({ pattern: '^1$' })) }),
      },
    },
    async ({ query: { link, setup }, ip }, reply) => {
      const login = await access.useLoginLink(link)
      if (!login) {
        await users.refused('login_link', ip)
        const hint = 'Each link works once. Make another one with `godwit dashboard`.'
        throw new Refusal('unauthenticated', 'this login link is unknown, used or too old', { hint })
      }
      // Whoever set this hub up is asked for an account first; approvals and the audit need a person.
      return setSession(reply, services, login).redirect(setup ? '/settings' : '/', 303)
    },
  )

  app.get(
    '/api/v1/session/ways',
    {
      config: { access: 'open' },
      schema: { operationId: 'listLoginWays', tags: ['access'], summary: 'How one may log in here' },
    },
    async () => ({
      password: true,
      ...(config.access.oidc && { oidc: { label: config.access.oidc.label } }),
    }),
  )

  app.post(
    '/api/v1/session',
    {
      config: { access: 'open', rateLimit: seldom },
      schema: {
        operationId: 'startSession',
        tags: ['access'],
        summary: 'Log this browser in with name and password',
        body: Type.Object({
          name: Type.String({ minLength: 1, maxLength: 64 }),
          password: Type.String({ minLength: 1, maxLength: passwordLengthMax }),
        }),
      },
    },
    async (request, reply) => {
      // Or another site could log a browser in as somebody else, and read later what is done in that name.
      refuseForged(request, services)
      const { name, password } = request.body
      const verdict = await users.login(name, password, request.ip)
      if (verdict.loggedIn) return setSession(reply, services, verdict).code(204).send()
      if (verdict.because === 'throttled') throw tooManyGuesses(reply, verdict.waitMs)
      throw new Refusal('unauthenticated', 'name or password is wrong', { reason: 'wrong_password' })
    },
  )

  app.post(
    '/api/v1/session/invitation',
    {
      config: { access: 'open', rateLimit: seldom },
      schema: {
        operationId: 'getInvitation',
        tags: ['access'],
        summary: 'Whom an invitation is for',
        body: Type.Object({ link: Secret }),
      },
    },
    async ({ body: { link } }) => {
      const user = await users.invited(link)
      if (!user) throw new Refusal('not-found', 'this invitation is unknown, used or too old')
      return { name: user.name, roles: user.roles, passwordLengthMin }
    },
  )

  app.post(
    '/api/v1/session/invitation/accept',
    {
      config: { access: 'open', rateLimit: seldom },
      schema: {
        operationId: 'acceptInvitation',
        tags: ['access'],
        summary: 'Choose a password, and log this browser in',
        body: Type.Object({ link: Secret, password: Password }),
      },
    },
    async (request, reply) => {
      refuseForged(request, services)
      const { link, password } = request.body
      const session = await users.acceptInvitation(link, password)
      if (!session) {
        await users.refused('invitation', request.ip)
        throw new Refusal('not-found', 'this invitation is unknown, used or too old')
      }
      return setSession(reply, services, session).code(204).send()
    },
  )

  app.post(
    '/api/v1/session/link',
    {
      config: { access: 'admin', rateLimit: seldom },
      schema: {
        operationId: 'createLoginLink',
        tags: ['access'],
        summary: 'A link that logs one browser in, once',
        body: Type.Optional(
          Type.Object({ roles: Type.Optional(Type.Array(RoleName, { minItems: 1, maxItems: 5 })) }),
        ),
      },
    },
    async (request, reply) => {
      const { secret, expiresAt } = await access.createLoginLink(
        request.body?.roles ?? ['admin'],
        whoOf(request),
      )
      const url = `${enrolment.addresses.httpUrl}/login?link=${secret}`
      return reply.code(201).send({ url, expiresAt: toRfc3339(expiresAt) })
    },
  )

  app.get(
    '/api/v1/session',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'getSession', tags: ['access'], summary: 'Who am I?' },
    },
    async ({ caller }) => {
      const { who, roles: held, scopes, kind, user } = caller!
      const known = user && (await users.byId(user.id))
      return { who, roles: held, kind, ...(scopes && { scopes }), ...(known && { user: userView(known) }) }
    },
  )

  app.delete(
    '/api/v1/session',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'endSession', tags: ['access'], summary: 'Log out' },
    },
    async (request, reply) => {
      const session = sessionOf(request, services)
      if (session !== undefined) await access.endSession(session)
      return reply.clearCookie(sessionCookieOf(isHttps()), cookieOptions(isHttps())).code(204).send()
    },
  )

  app.get(
    '/api/v1/session/others',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'listSessions', tags: ['access'], summary: 'Where I am logged in' },
    },
    async (request) => {
      const { user } = request.caller!
      const sessions = user ? await users.sessions(user.id, sessionOf(request, services)) : []
      return {
        items: sessions.map(({ startedAt, expiresAt, ...rest }) => ({
          ...rest,
          startedAt: toRfc3339(startedAt),
          expiresAt: toRfc3339(expiresAt),
        })),
      }
    },
  )

  app.delete(
    '/api/v1/session/others',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'endOtherSessions', tags: ['access'], summary: 'Log out everywhere else' },
    },
    async (request) => {
      const { user } = request.caller!
      if (!user) throw new Refusal('conflict', 'this browser or token belongs to no user')
      return { ended: await users.endSessions(user.id, whoOf(request), sessionOf(request, services)) }
    },
  )

  app.delete(
    '/api/v1/session/others/:id',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'endOneSession',
        tags: ['access'],
        summary: 'Log out there',
        params: Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{12}$' }) }),
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { user } = request.caller!
      if (!user || !(await users.endSession(user.id, id, whoOf(request))))
        throw new Refusal('not-found', `no session ${id} of yours`)
      return reply.code(204).send()
    },
  )

  app.post(
    '/api/v1/session/account',
    {
      config: { access: 'admin', rateLimit: seldom },
      schema: {
        operationId: 'makeOwnAccount',
        tags: ['access'],
        summary: 'Whom a link let in as an administrator becomes a user; this browser is then theirs',
        body: Type.Object(
          { name: Type.String({ pattern: userNamePattern }), password: Password },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const { kind, user } = request.caller!
      const session = sessionOf(request, services)
      if (user || kind !== 'browser' || session === undefined)
        throw new Refusal('conflict', 'this is for a browser that a login link let in, without an account')
      const { name, password } = request.body
      const started = await users.settle(name, password, whoOf(request))
      if (!started) throw nameTaken(name)
      await access.endSession(session)
      return setSession(reply, services, started).code(204).send()
    },
  )

  app.put(
    '/api/v1/session/password',
    {
      config: { access: 'viewer', rateLimit: seldom },
      schema: {
        operationId: 'changePassword',
        tags: ['access'],
        summary: 'Choose another password; every other session of mine ends',
        body: Type.Object({ old: Type.String({ maxLength: passwordLengthMax }), next: Password }),
      },
    },
    async (request, reply) => {
      const { user, kind } = request.caller!
      const session = sessionOf(request, services)
      // A token that leaked must not become the account.
      if (!user || kind !== 'browser' || session === undefined)
        throw new Refusal('forbidden', 'a password is changed by its user, in a browser that is logged in')
      const { old, next } = request.body
      const verdict = await users.changePassword(user.id, old, next, { session, address: request.ip })
      if (verdict.changed) return reply.code(204).send()
      if (verdict.because === 'throttled') throw tooManyGuesses(reply, verdict.waitMs)
      throw new Refusal('forbidden', 'the old password is wrong', { reason: 'wrong_password' })
    },
  )
}

function tooManyGuesses(reply: FastifyReply, waitMs: number): Refusal {
  const seconds = Math.ceil(waitMs / 1_000)
  reply.header('retry-after', seconds)
  const detail = `too many wrong passwords: wait ${seconds} s`
  return new Refusal('rate-limited', detail, { retry_after_seconds: seconds })
}

/** Taken in any spelling, or one that the audit uses for the hub and for nobody. */
export function nameTaken(name: string): Refusal {
  return new Refusal(
    'conflict',
    `the name ${name} is taken: there is a user of that name, or the hub uses it itself`,
  )
}
