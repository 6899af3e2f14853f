import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import type { User } from '../../access/user.ts'
import { userNamePattern } from '../../access/user.ts'
import { whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { userView } from '../views.ts'
import { nameTaken, RoleName, seldom } from './sessions.ts'

const Params = Type.Object({ name: Type.String({ pattern: userNamePattern }) })
const Roles = Type.Array(RoleName, { minItems: 1, maxItems: 5 })

/** People and their roles; an admin's business. A name is never used twice, so accounts are disabled and not removed. */
export const userRoutes: RoutePlugin = (app, { users, enrolment }) => {
  async function known(name: string): Promise<User> {
    const user = await users.byName(name)
    if (user) return user
    throw new Refusal('not-found', `no user ${name}`)
  }

  async function invitation(user: User, who: string) {
    const link = await users.invite(user.id, who)
    const { secret, expiresAt } = link!
    // Behind the #, which browsers keep to themselves: no server and no log on the way reads it.
    return { url: `${enrolment.addresses.httpUrl}/invitation#${secret}`, expiresAt: toRfc3339(expiresAt) }
  }

  app.get(
    '/api/v1/users',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'listUsers', tags: ['access'], summary: 'People who use this hub' },
    },
    async () => ({ items: (await users.all()).map(userView) }),
  )

  app.post(
    '/api/v1/users',
    {
      config: { access: 'admin', rateLimit: seldom },
      schema: {
        operationId: 'createUser',
        tags: ['access'],
        summary: 'A new person, and the link by which they choose a password',
        body: Type.Object(
          { name: Type.String({ pattern: userNamePattern }), roles: Roles },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const { name, roles } = request.body
      const user = await users.create(name, roles, whoOf(request))
      if (!user) throw nameTaken(name)
      return reply.code(201).send({ ...userView(user), invitation: await invitation(user, whoOf(request)) })
    },
  )

  app.post(
    '/api/v1/users/:name/invite',
    {
      config: { access: 'admin', rateLimit: seldom },
      schema: {
        operationId: 'inviteUser',
        tags: ['access'],
        summary: 'Another link to choose a password: the first was lost, or the password was',
        params: Params,
      },
    },
    async (request, reply) => {
      const user = await known(request.params.name)
      if (user.disabledAt !== undefined) throw new Refusal('conflict', `${user.name} is disabled`)
      // A password here would outlive what the provider says of them, second factor and all.
      if (user.oidc) throw new Refusal('conflict', `${user.name} logs in through ${user.oidc.issuer}`)
      return reply.code(201).send(await invitation(user, whoOf(request)))
    },
  )

  app.put(
    '/api/v1/users/:name/roles',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'setRoles',
        tags: ['access'],
        summary: 'What this person may do, from now on',
        params: Params,
        body: Type.Object({ roles: Roles }, { additionalProperties: false }),
      },
    },
    async (request) => {
      const user = await known(request.params.name)
      refuseSelf(user, request.caller?.user?.id, 'roles')
      return userView((await users.setRoles(user.id, request.body.roles, whoOf(request)))!)
    },
  )

  app.post(
    '/api/v1/users/:name/logout',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'logOutUser',
        tags: ['access'],
        summary: 'Ends every browser session of this person; they may log in again',
        params: Params,
      },
    },
    async (request) => {
      const user = await known(request.params.name)
      return { name: user.name, ended: await users.endSessions(user.id, whoOf(request)) }
    },
  )

  for (const verb of ['disable', 'enable'] as const) {
    app.post(
      `/api/v1/users/:name/${verb}`,
      {
        config: { access: 'admin' },
        schema: {
          operationId: `${verb}User`,
          tags: ['access'],
          summary:
            verb === 'disable'
              ? 'Ends sessions and tokens of this person at once'
              : 'Lets this person in again',
          params: Params,
        },
      },
      async (request) => {
        const user = await known(request.params.name)
        if (verb === 'disable') refuseSelf(user, request.caller?.user?.id, 'account')
        return userView((await users[verb](user.id, whoOf(request)))!)
      },
    )
  }
}

/** The last admin would otherwise lock everybody out with one click. */
function refuseSelf(user: User, callerId: string | undefined, what: string): void {
  if (user.id === callerId)
    throw new Refusal('conflict', `nobody takes away their own ${what}: ask another admin`)
}
