import { Segment, VersionName } from '@godwit/protocol/schema'
import Type from 'typebox'
import type { CreateRefusal } from '../../rollout/create.ts'
import { type Deployment, deploymentStates } from '../../rollout/deployment.ts'
import { PlanRequest } from '../../rollout/plan.ts'
import { deploymentsOf, type StoredRollout } from '../../rollout/rollout-store.ts'
import { rememberAnswer } from '../../store/idempotency-store.ts'
import { whoOf } from '../authentication.ts'
import { fromCursor, idFromCursor, notOurs, PageQuery, pageOf } from '../listing.ts'
import { type ProblemSlug, Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { RolloutParams } from './rollouts-actions.ts'
import { entityTag, onceOf } from './rollouts-conditions.ts'
import { deploymentView, entryView, rolloutView, userOf } from './rollouts-view.ts'

const tags = ['rollouts']

/** Moves of releases through waves of devices. */
export const rolloutRoutes: RoutePlugin = (app, { rollouts, database }) => {
  async function known(id: string): Promise<StoredRollout> {
    const stored = await rollouts.get(id)
    if (stored) return stored
    throw new Refusal('not-found', `no rollout ${id}`)
  }

  app.post(
    '/api/v1/rollouts',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'createRollout',
        tags,
        summary: 'Roll a listed version out in waves',
        headers: Type.Object({
          'idempotency-key': Type.Optional(
            Type.String({
              maxLength: 257,
              description: 'Sent again within 24 h: the same answer, no second rollout',
            }),
          ),
        }),
        body: Type.Object(
          {
            model: Segment,
            version: VersionName,
            slot: Type.Optional(Segment),
            selector: Type.Optional(
              Type.String({ maxLength: 2_048, description: 'Label selector; empty for all' }),
            ),
            plan: Type.Optional(PlanRequest),
            draft: Type.Optional(Type.Boolean({ description: 'Keep it until it is started' })),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const { model, version, slot = 'default', selector = '', plan = {}, draft = false } = request.body
      const user = userOf(request)
      const creator = user && { creatorId: user.id }
      const asked = { model, version, slot, selector, plan: plan as PlanRequest, draft, ...creator }
      const once = onceOf(request)
      const verdict = await rollouts.create(asked, whoOf(request), once)
      if (!verdict.created) throw refusalOf(verdict.because, verdict.mistakes)
      const { stored } = verdict
      const answer = verdict.answer ?? rolloutView(stored, await rollouts.approvers(), user)
      // After a crash in between, the next asker gets the rollout as it is then, and still no second one.
      if (once && verdict.answer === undefined) await rememberAnswer(database.db, once, answer)
      reply.code(201).header('location', `/api/v1/rollouts/${stored.rollout.id}`)
      reply.header('etag', entityTag((answer as { revision: number }).revision))
      return answer
    },
  )

  app.get(
    '/api/v1/rollouts',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listRollouts',
        tags,
        summary: 'Newest first',
        querystring: Type.Object(PageQuery),
      },
    },
    async (request) => {
      const { limit = 50, cursor } = request.query
      const approvers = await rollouts.approvers()
      const page = pageOf(
        await rollouts.list(fromCursor(cursor), limit + 1),
        limit,
        ({ rollout }) => rollout.id,
      )
      return { ...page, items: page.items.map((one) => rolloutView(one, approvers, userOf(request))) }
    },
  )

  app.get(
    '/api/v1/rollouts/:id',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getRollout',
        tags,
        summary: 'One rollout with its waves and gates',
        params: RolloutParams,
      },
    },
    async (request, reply) => {
      const stored = await known(request.params.id)
      reply.header('etag', entityTag(stored.head.revision))
      return rolloutView(stored, await rollouts.approvers(), userOf(request))
    },
  )

  app.get(
    '/api/v1/rollouts/:id/devices',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listRolloutDevices',
        tags,
        summary: 'Each device of a rollout, in the order of waves',
        params: RolloutParams,
        querystring: Type.Object({
          ...PageQuery,
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 200 })),
          state: Type.Optional(Type.String({ enum: [...deploymentStates] })),
        }),
      },
    },
    async ({ params: { id }, query: { limit = 200, cursor, state } }) => {
      const after = deploymentKeyOf(fromCursor(cursor))
      const found = await deploymentsOf(database.db, id, { state, after, limit: limit + 1 })
      // Every rollout has devices: a page of none is the last one, or of a rollout that is not there.
      if (found.length === 0) await known(id)
      const page = pageOf(found, limit, keyOf)
      return { ...page, items: page.items.map(deploymentView) }
    },
  )

  app.get(
    '/api/v1/rollouts/:id/events',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listRolloutEvents',
        tags,
        summary: 'Everything that was decided, by whom and on what evidence, newest first',
        params: RolloutParams,
        querystring: Type.Object({
          ...PageQuery,
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 200 })),
        }),
      },
    },
    async ({ params: { id }, query: { limit = 200, cursor } }) => {
      await known(id)
      const rows = await rollouts.entries(id, idFromCursor(cursor), limit + 1)
      const page = pageOf(rows, limit, (entry) => `${entry.id}`)
      return { ...page, items: page.items.map(entryView) }
    },
  )
}

type Unmade = CreateRefusal | 'other-request'

const slugs: Record<Unmade, ProblemSlug> = {
  'unknown-version': 'not-found',
  'not-listed': 'conflict',
  conflict: 'conflict',
  'bad-plan': 'validation',
  'bad-selector': 'validation',
  'no-targets': 'validation',
  'no-profile': 'validation',
  'other-request': 'validation',
}

function refusalOf(because: Unmade, errors: { pointer: string; detail: string }[]): Refusal {
  const detail = errors.map((error) => error.detail).join('; ')
  return new Refusal(slugs[because], detail, { errors, reason: because.replaceAll('-', '_') })
}

function keyOf({ wave, deviceId }: Deployment): string {
  return `${wave} ${deviceId}`
}

function deploymentKeyOf(key: string | undefined): Pick<Deployment, 'wave' | 'deviceId'> | undefined {
  const [wave, deviceId = ''] = key?.split(' ') ?? []
  if (wave === undefined || /^\d{1,4}$/.test(wave))
    return wave === undefined ? undefined : { wave: Number(wave), deviceId }
  throw notOurs()
}
