import { Segment, VersionName } from '@godwit/protocol/schema'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import type { CreateRefusal } from '../../rollout/create.ts'
import { type Deployment, deploymentStates } from '../../rollout/deployment.ts'
import { countsOf } from '../../rollout/engine.ts'
import { PlanRequest } from '../../rollout/plan.ts'
import { allowedActions, type OperatorAction } from '../../rollout/rollout.ts'
import type { StoredRollout } from '../../rollout/rollout-store.ts'
import { verdictSentence } from '../../rollout/sentence.ts'
import { whoOf } from '../authentication.ts'
import { fromCursor, PageQuery, pageOf } from '../listing.ts'
import { type ProblemSlug, Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const RolloutParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) })
const tags = ['rollouts']

/** Moves of releases through waves of devices, and what an operator may do about them. */
export const rolloutRoutes: RoutePlugin = (app, { rollouts }) => {
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
      const asked = { model, version, slot, selector, plan: plan as PlanRequest, draft }
      const verdict = await rollouts.create(asked, whoOf(request))
      if (!verdict.created) throw refusalOf(verdict.because, verdict.mistakes)
      reply.code(201).header('location', `/api/v1/rollouts/${verdict.stored.rollout.id}`)
      return view(verdict.stored)
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
    async ({ query: { limit = 50, cursor } }) => {
      const page = pageOf(
        await rollouts.list(fromCursor(cursor), limit + 1),
        limit,
        ({ rollout }) => rollout.id,
      )
      return { ...page, items: page.items.map(view) }
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
    async ({ params: { id } }) => view(await known(id)),
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
      const { rollout } = await known(id)
      const after = fromCursor(cursor) ?? ''
      const found = [...rollout.deployments.values()]
        .filter(
          (deployment) => (state === undefined || deployment.state === state) && keyOf(deployment) > after,
        )
        .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
      const page = pageOf(found.slice(0, limit + 1), limit, keyOf)
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
        summary: 'Everything that was decided, by whom and on what evidence, oldest first',
        params: RolloutParams,
        querystring: Type.Object({
          ...PageQuery,
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 200 })),
        }),
      },
    },
    async ({ params: { id }, query: { limit = 200, cursor } }) => {
      await known(id)
      const rows = await rollouts.entries(id, Number(fromCursor(cursor) ?? 0), limit + 1)
      const page = pageOf(rows, limit, (entry) => `${entry.id}`)
      return { ...page, items: page.items.map((entry) => ({ ...entry, at: toRfc3339(entry.at) })) }
    },
  )

  const actions: Record<OperatorAction, string> = {
    start: 'Start a draft, or a scheduled rollout before its time',
    pause: 'Direct nobody else until it is resumed',
    resume: 'Go on; a wave that failed is soaked and judged anew',
    abort: 'Stop for good: who has the release keeps it, nobody else gets it',
    rollback: 'Give every device of it its previous release back',
    retry: 'Direct the failed devices again whose result code allows it',
  }
  for (const [action, summary] of Object.entries(actions) as [OperatorAction, string][]) {
    app.post(
      `/api/v1/rollouts/:id/${action}`,
      {
        config: { access: 'operator' },
        schema: {
          operationId: `${action}Rollout`,
          tags,
          summary,
          params: RolloutParams,
          body: Type.Object(
            { reason: Type.String({ minLength: 1, maxLength: 1_024, description: 'Kept on record' }) },
            { additionalProperties: false },
          ),
        },
      },
      async (request) => {
        const { id } = request.params as { id: string }
        const { reason } = request.body as { reason: string }
        const verdict = await rollouts.act(id, action, whoOf(request), reason)
        if (verdict.acted) return view(verdict.stored)
        const { because, detail } = verdict
        if (because === 'unknown-rollout') throw new Refusal('not-found', `no rollout ${id}`)
        if (because === 'conflict') throw new Refusal('conflict', detail)
        const { rollout } = await known(id)
        throw new Refusal('rollout-not-active', detail, {
          phase: rollout.phase,
          allowedActions: allowedActions(rollout),
        })
      },
    )
  }
}

const slugs: Record<CreateRefusal, ProblemSlug> = {
  'unknown-version': 'not-found',
  'not-listed': 'conflict',
  conflict: 'conflict',
  'bad-plan': 'validation',
  'bad-selector': 'validation',
  'no-targets': 'validation',
  'no-profile': 'validation',
}

function refusalOf(because: CreateRefusal, errors: { pointer: string; detail: string }[]): Refusal {
  const detail = errors.map((error) => error.detail).join('; ')
  return new Refusal(slugs[because], detail, { errors, reason: because.replaceAll('-', '_') })
}

function keyOf({ wave, deviceId }: Deployment): string {
  return `${String(wave).padStart(4, '0')} ${deviceId}`
}

function view({ rollout, head }: StoredRollout) {
  const { id, slot, goal, plan, phase, since, reason, waves } = rollout
  return {
    id,
    model: goal.model,
    version: goal.version,
    releaseDigest: goal.releaseDigest,
    slot,
    selector: head.selector,
    phase,
    since: toRfc3339(since),
    reason: reason && { ...reason, at: toRfc3339(reason.at) },
    sentence: verdictSentence(rollout),
    counts: countsOf(rollout),
    waves: waves.map(({ name, state, since, gates }, index) => ({
      name,
      state,
      since: toRfc3339(since),
      counts: countsOf(rollout, index),
      gates,
    })),
    allowedActions: allowedActions(rollout),
    plan,
    revision: head.revision,
    createdAt: toRfc3339(head.createdAt),
    createdBy: head.createdBy,
    updatedAt: toRfc3339(head.updatedAt),
  }
}

function deploymentView({
  deviceId,
  wave,
  state,
  since,
  directiveVersion,
  previous,
  code,
  detail,
}: Deployment) {
  const { model, version, releaseDigest } = previous ?? {}
  const ref = previous && { model, version, releaseDigest }
  return { deviceId, wave, state, code, detail, directiveVersion, previous: ref, updatedAt: toRfc3339(since) }
}
