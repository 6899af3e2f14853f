import type { CookieSerializeOptions } from '@fastify/cookie'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { type Role, roles } from '../../access/access.ts'
import { sessionCookie, whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { tokenView } from '../views.ts'

const RoleName = Type.Unsafe<Role>(Type.String({ enum: [...roles] }))
const slow = { max: 30, timeWindow: 60_000 }

/** Who may use this hub: login links for browsers, tokens for programs. */
export const sessionRoutes: RoutePlugin = (app, { access, config, enrolment }) => {
  const isHttps = () => enrolment.addresses.httpUrl.startsWith('https:')
  const cookie = (): CookieSerializeOptions => ({
    httpOnly: true,
    sameSite: 'strict',
    secure: isHttps(),
    path: '/',
  })

  app.get(
    '/login',
    {
      config: { access: 'open', rateLimit: slow },
      schema: {
        hide: true,
        querystring: Type.Object({ link: Type.String({ minLength: 16, maxLength: 128 }) }),
      },
    },
    async ({ query: { link } }, reply) => {
      const login = await access.useLoginLink(link)
      if (!login) {
        const hint = 'Each link works once. Make another one with `godwit dashboard`.'
        throw new Refusal('unauthenticated', 'this login link is unknown, used or too old', { hint })
      }
      const maxAge = Math.floor(config.access.sessionMs / 1_000)
      return reply.setCookie(sessionCookie, login.session, { ...cookie(), maxAge }).redirect('/', 303)
    },
  )

  app.post(
    '/api/v1/session/link',
    {
      config: { access: 'admin', rateLimit: slow },
      schema: {
        operationId: 'createLoginLink',
        tags: ['access'],
        summary: 'A link that logs one browser in, once',
        body: Type.Optional(Type.Object({ role: Type.Optional(RoleName) })),
      },
    },
    async (request, reply) => {
      const { secret, expiresAt } = await access.createLoginLink(
        request.body?.role ?? 'admin',
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
    async ({ caller }) => ({ who: caller!.who, role: caller!.role }),
  )

  app.delete(
    '/api/v1/session',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'endSession', tags: ['access'], summary: 'Log out' },
    },
    async (request, reply) => {
      const session = request.cookies[sessionCookie]
      if (session !== undefined) await access.endSession(session)
      return reply.clearCookie(sessionCookie, cookie()).code(204).send()
    },
  )

  app.get(
    '/api/v1/tokens',
    {
      config: { access: 'admin' },
      schema: { operationId: 'listTokens', tags: ['access'], summary: 'API tokens' },
    },
    async () => ({ items: (await access.tokens()).map(tokenView) }),
  )

  app.post(
    '/api/v1/tokens',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'createToken',
        tags: ['access'],
        summary: 'A new API token; its text is in this answer and nowhere else',
        body: Type.Object({
          name: Type.String({ minLength: 1, maxLength: 128 }),
          role: RoleName,
          expiresInMs: Type.Optional(Type.Integer({ minimum: 1_000 })),
        }),
      },
    },
    async (request, reply) => {
      const { token, ...created } = await access.createToken(request.body, whoOf(request))
      return reply.code(201).send({ ...tokenView(created), token })
    },
  )

  app.delete(
    '/api/v1/tokens/:id',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'revokeToken',
        tags: ['access'],
        summary: 'Revoke an API token',
        params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
      },
    },
    async (request, reply) => {
      const revoked = await access.revokeToken(request.params.id, whoOf(request))
      if (!revoked) throw new Refusal('not-found', `no token ${request.params.id}`)
      return reply.code(204).send()
    },
  )
}
