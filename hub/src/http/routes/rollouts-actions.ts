import Type from 'typebox'
import { type ApprovalDeed, type Person, sha256Of, subjectText } from '../../rollout/approval.ts'
import type { ActVerdict } from '../../rollout/engine.ts'
import { allowedActions, type OperatorAction } from '../../rollout/rollout.ts'
import { whoOf } from '../authentication.ts'
import { type ProblemSlug, Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { entityTag, revisionsIn } from './rollouts-conditions.ts'
import { rolloutView, userOf } from './rollouts-view.ts'

export const RolloutParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) })
const tags = ['rollouts']
const Reason = Type.String({ minLength: 1, maxLength: 1_024, description: 'Kept on record' })
const Headers = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 512, description: 'ETag of the rollout; 412 when it has changed since' }),
  ),
})
const sha256 = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: '`approval.sha256` of the rollout that was looked at; 409 when it is another by now',
})

const actions: Record<OperatorAction, string> = {
  start: 'Start a draft, or a scheduled rollout before its time; it waits for its approvals first',
  pause: 'Direct nobody else until it is resumed',
  resume: 'Go on; a wave that failed is soaked and judged anew',
  abort: 'Stop for good: who has the release keeps it, nobody else gets it',
  rollback: 'Give every device of it its previous release back',
  retry: 'Direct the failed devices again whose result code allows it',
}

const deeds: Record<ApprovalDeed, { summary: string; body: Record<string, object> }> = {
  approve: { summary: 'Say yes to exactly what the hash names', body: { sha256 } },
  reject: { summary: 'Say no: the rollout ends here', body: { sha256: Type.Optional(sha256) } },
  withdraw: { summary: 'Take an approval back before the start', body: { sha256: Type.Optional(sha256) } },
}

/** What operators and approvers may do about a rollout. */
export const rolloutActionRoutes: RoutePlugin = (app, { rollouts }) => {
  for (const [action, summary] of Object.entries(actions) as [OperatorAction, string][]) {
    app.post(
      `/api/v1/rollouts/:id/${action}`,
      {
        config: { access: 'operator' },
        schema: {
          operationId: `${action}Rollout`,
          ...{ tags, summary, params: RolloutParams, headers: Headers },
          body: Type.Object({ reason: Reason }, { additionalProperties: false }),
        },
      },
      async (request, reply) => {
        const { reason } = request.body as { reason: string }
        const wish = { who: whoOf(request), reason, ...revisionsIn(request) }
        const id = idIn(request.params)
        return answer(id, await rollouts.act(id, action, wish), reply, userOf(request))
      },
    )
  }

  for (const [deed, { summary, body }] of Object.entries(deeds) as [
    ApprovalDeed,
    (typeof deeds)[ApprovalDeed],
  ][]) {
    app.post(
      `/api/v1/rollouts/:id/${deed}`,
      {
        config: { access: 'approver' },
        schema: {
          operationId: `${deed}Rollout`,
          ...{ tags, summary, params: RolloutParams, headers: Headers },
          body: Type.Object({ reason: Reason, ...body }, { additionalProperties: false }),
        },
      },
      async (request, reply) => {
        const person = userOf(request)
        if (!person) {
          const detail = `${whoOf(request)} is no person: approving takes a user who is logged in, or a token of theirs`
          throw new Refusal('forbidden', detail, { reason: 'needs_person' })
        }
        const wish = { who: whoOf(request), person, ...(request.body as { reason: string; sha256?: string }) }
        const id = idIn(request.params)
        return answer(
          id,
          await rollouts.decide(id, deed, { ...wish, ...revisionsIn(request) }),
          reply,
          person,
        )
      },
    )
  }

  app.get(
    '/api/v1/rollouts/:id/approval',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getRolloutApprovalSubject',
        tags,
        summary: 'What is approved, to the byte: the SHA-256 of this body is what an approval names',
        params: RolloutParams,
        querystring: Type.Object({
          wave: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Absent: the whole' })),
        }),
      },
    },
    async ({ params: { id }, query: { wave = null } }, reply) => {
      const stored = await rollouts.get(id)
      if (!stored) throw new Refusal('not-found', `no rollout ${id}`)
      if (wave !== null && !stored.rollout.waves.some(({ name }) => name === wave))
        throw new Refusal('not-found', `rollout ${id} has no wave ${wave}`)
      const digest = Buffer.from(sha256Of(stored.rollout, wave), 'hex').toString('base64')
      return reply
        .header('repr-digest', `sha-256=:${digest}:`)
        .type('application/json')
        .serializer((text: unknown) => text as string)
        .send(subjectText(stored.rollout, wave))
    },
  )

  async function answer(
    id: string,
    verdict: ActVerdict,
    reply: { header(name: string, value: string): unknown },
    viewer?: Person,
  ) {
    if (verdict.acted) {
      reply.header('etag', entityTag(verdict.stored.head.revision))
      return rolloutView(verdict.stored, await rollouts.approvers(), viewer)
    }
    const { because, detail } = verdict
    const rollout = (await rollouts.get(id))?.rollout
    const state = rollout && { phase: rollout.phase, allowedActions: allowedActions(rollout) }
    const isState = because === 'not-allowed' || because === 'not-waiting'
    throw new Refusal(slugs[because], detail, {
      reason: because.replaceAll('-', '_'),
      ...(isState && state),
      ...(because === 'creator' && { hint: 'Its creator can abort it.' }),
      ...(because === 'other-plan' && { hint: 'Look at the rollout again: it is not what was approved.' }),
    })
  }
}

function idIn(params: unknown): string {
  return (params as { id: string }).id
}

const slugs: Record<Extract<ActVerdict, { acted: false }>['because'], ProblemSlug> = {
  'unknown-rollout': 'not-found',
  'not-allowed': 'rollout-not-active',
  conflict: 'conflict',
  'other-revision': 'precondition-failed',
  'not-waiting': 'rollout-not-active',
  creator: 'forbidden',
  'not-approver': 'forbidden',
  'other-plan': 'conflict',
  'not-given': 'conflict',
}
