import {
  EnrolmentAnswer,
  EnrolmentPending,
  EnrolmentRequest,
  Labels,
} from '@godwit/protocol/messages/enrolment'
import { Segment } from '@godwit/protocol/schema'
import Type from 'typebox'
import type { EnrolmentRefusal } from '../../fleet/enrolment.ts'
import { whoOf } from '../authentication.ts'
import { type ProblemSlug, Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { joinTokenView } from '../views.ts'

/** A site's worth of devices behind one address may join in a minute, and a guesser gets nowhere. */
const joinsPerMinute = { max: 300, timeWindow: 60_000 }

const slugOf: Record<EnrolmentRefusal, ProblemSlug> = {
  'unknown-token': 'unauthenticated',
  'expired-token': 'unauthenticated',
  'used-token': 'unauthenticated',
  'revoked-device': 'forbidden',
  'bad-proof': 'signature-invalid',
  'id-taken': 'conflict',
  'other-name': 'forbidden',
  'waiting-room-full': 'rate-limited',
  'rejected-device': 'forbidden',
}

/** How devices come in. */
export const enrolmentRoutes: RoutePlugin = (app, { enrolment }) => {
  app.post(
    '/api/v1/enrol',
    {
      config: { access: 'open', rateLimit: joinsPerMinute },
      schema: {
        operationId: 'enrol',
        tags: ['devices'],
        summary:
          'A device joins the fleet: by a join token, a registered key, or an approval to come (SPEC 3.2)',
        body: EnrolmentRequest,
        response: { 200: EnrolmentAnswer, 202: EnrolmentPending },
      },
    },
    async ({ body, ip }, reply) => {
      const verdict = await enrolment.enrol(body, ip)
      if (verdict.enrolled === 'pending') return reply.code(202).send(verdict.answer)
      if (verdict.enrolled) return reply.send(verdict.answer)
      throw new Refusal(slugOf[verdict.because], verdict.detail, {
        reason: verdict.because.replaceAll('-', '_'),
      })
    },
  )

  app.get(
    '/api/v1/join-config',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getJoinConfig',
        tags: ['devices'],
        summary:
          'What a device without a join token is configured with: where the hub is and whom to believe',
      },
    },
    () => enrolment.joinConfig(),
  )

  app.post(
    '/api/v1/join-tokens',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'createJoinToken',
        tags: ['devices'],
        summary: 'A join token; its text is in this answer and nowhere else',
        body: Type.Object({
          labels: Type.Optional(Labels),
          /** The name that the device shall ask for; for one device only. */
          deviceId: Type.Optional(Segment),
          uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: 1 })),
          expiresInMs: Type.Optional(
            Type.Integer({ minimum: 1_000, maximum: 366 * 86_400_000, default: 86_400_000 }),
          ),
        }),
      },
    },
    async (request, reply) => {
      const { labels = {}, uses = 1, expiresInMs = 86_400_000, deviceId } = request.body
      if (deviceId !== undefined && uses !== 1) {
        throw new Refusal(
          'validation',
          `${uses} devices cannot all be called ${deviceId}: a named join token has one use`,
        )
      }
      const { token, ...created } = await enrolment.createJoinToken(
        { labels, uses, expiresInMs, ...(deviceId !== undefined && { deviceId }) },
        whoOf(request),
      )
      return reply.code(201).send({ ...joinTokenView(created), token })
    },
  )

  app.get(
    '/api/v1/join-tokens',
    {
      config: { access: 'operator' },
      schema: { operationId: 'listJoinTokens', tags: ['devices'], summary: 'Join tokens' },
    },
    async () => ({ items: (await enrolment.joinTokens()).map(joinTokenView) }),
  )

  app.delete(
    '/api/v1/join-tokens/:id',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'revokeJoinToken',
        tags: ['devices'],
        summary: 'Nobody joins with it any more',
        params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
      },
    },
    async (request, reply) => {
      const revoked = await enrolment.revokeJoinToken(request.params.id, whoOf(request))
      if (!revoked) throw new Refusal('not-found', `no join token ${request.params.id}`)
      return reply.code(204).send()
    },
  )
}
