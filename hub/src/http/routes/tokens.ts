import Type from 'typebox'
import type { Caller } from '../../access/access.ts'
import { mayAct, type Role, scopePattern } from '../../access/role.ts'
import { whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { tokenView } from '../views.ts'
import { RoleName } from './sessions.ts'

/** API tokens: of programs, which an admin makes, and of people, who make their own. */
export const tokenRoutes: RoutePlugin = (app, { access, users }) => {
  app.get(
    '/api/v1/tokens',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listTokens',
        tags: ['access'],
        summary: 'API tokens: mine, or for an admin all',
      },
    },
    async ({ caller }) => {
      const isAdmin = mayAct(caller!, 'admin')
      if (!isAdmin && !caller!.user) return { items: [] }
      const tokens = await access.tokens(isAdmin ? undefined : caller!.user!.id)
      const names = new Map((await users.all()).map(({ id, name }) => [id, name]))
      return {
        items: tokens.map((token) => {
          const owner = names.get(token.userId ?? '')
          return { ...tokenView(token), ...(owner !== undefined && { owner }) }
        }),
      }
    },
  )

  app.post(
    '/api/v1/tokens',
    {
      config: { access: 'viewer', rateLimit: { max: 60, timeWindow: 60_000 } },
      schema: {
        operationId: 'createToken',
        tags: ['access'],
        summary: 'A new API token; its text is in this answer and nowhere else',
        body: Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 128 }),
            roles: Type.Array(RoleName, { minItems: 1, maxItems: 5 }),
            scopes: Type.Optional(
              Type.Array(Type.String({ pattern: scopePattern }), { minItems: 1, maxItems: 16 }),
            ),
            expiresInMs: Type.Optional(Type.Integer({ minimum: 1_000 })),
            /** An admin's token for a program, which outlives the admin's account. */
            ofProgram: Type.Optional(Type.Boolean()),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const caller = request.caller!
      const { ofProgram = false, ...options } = request.body
      const isOfPerson = caller.user !== undefined && !ofProgram
      mustHaveThemselves(caller, options.roles, isOfPerson)
      const owner = isOfPerson ? { userId: caller.user!.id } : {}
      const { token, ...created } = await access.createToken({ ...options, ...owner }, whoOf(request))
      return reply.code(201).send({ ...tokenView(created), token })
    },
  )

  app.delete(
    '/api/v1/tokens/:id',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'revokeToken',
        tags: ['access'],
        summary: 'Revoke an API token: my own, or for an admin any',
        params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const token = await access.token(id)
      const isTheirs = token?.userId !== undefined && token.userId === request.caller!.user?.id
      if (!token || !(isTheirs || mayAct(request.caller!, 'admin')))
        throw new Refusal('not-found', `no token ${id}`)
      await access.revokeToken(id, whoOf(request))
      return reply.code(204).send()
    },
  )
}

/** Nobody hands out what they do not have; and what belongs to nobody is for an admin to make. */
function mustHaveThemselves(caller: Caller, wanted: readonly Role[], isOfPerson: boolean): void {
  if (!isOfPerson && !mayAct(caller, 'admin'))
    throw new Refusal('forbidden', `a token of a program needs an admin, and ${caller.who} is none`)
  // A token that was narrowed must not be a way to one that is not.
  if (caller.scopes) throw new Refusal('forbidden', 'a token with scopes makes no other tokens')
  const missing = wanted.find((role) => !mayAct(caller, role))
  if (missing !== undefined) throw new Refusal('forbidden', `${caller.who} has no role ${missing} to give`)
}
