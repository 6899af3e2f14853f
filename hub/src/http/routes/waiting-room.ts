import { keyFingerprint, Labels } from '@godwit/protocol/messages/enrolment'
import { Segment } from '@godwit/protocol/schema'
import { isSoundPublicKey } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const Fingerprint = Type.Object({ fingerprint: Type.String({ pattern: '^[0-9a-f]{32}$' }) })
/** One transaction, which other requests wait for; a factory's list comes in several. */
const keysMax = 1_000
const PublicKey = Type.String({ pattern: '^[0-9a-f]{64}$' })

/** Devices that come without a token: keys known beforehand, and those that a person lets in. */
export const waitingRoomRoutes: RoutePlugin = (app, { waitingRoom }) => {
  app.get(
    '/api/v1/pending-devices',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listPendingDevices',
        tags: ['devices'],
        summary: 'Devices that ask to be let in, and those that were turned away of late',
      },
    },
    async () => ({
      items: (await waitingRoom.pending()).map(({ firstAt, lastAt, rejectedAt, ...device }) => ({
        fingerprint: keyFingerprint(device.publicKey),
        ...device,
        firstAt: toRfc3339(firstAt),
        lastAt: toRfc3339(lastAt),
        ...(rejectedAt !== undefined && { rejectedAt: toRfc3339(rejectedAt) }),
      })),
    }),
  )

  app.post(
    '/api/v1/pending-devices/:fingerprint/approve',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'approveDevice',
        tags: ['devices'],
        summary: 'Let it in: the fingerprint was compared with the one on the device',
        params: Fingerprint,
        body: Type.Union([
          Type.Object(
            { deviceId: Type.Optional(Segment), labels: Type.Optional(Labels) },
            { additionalProperties: false },
          ),
          Type.Null(),
        ]),
      },
    },
    async (request) => {
      const { fingerprint } = request.params
      const { deviceId, labels = {} } = request.body ?? {}
      const as = { labels, ...(deviceId !== undefined && { deviceId }) }
      const verdict = await waitingRoom.approve(fingerprint, as, whoOf(request))
      if (!verdict) throw new Refusal('not-found', `no device with the fingerprint ${fingerprint} waits`)
      if ('flaw' in verdict) throw new Refusal('conflict', verdict.flaw.detail)
      return verdict.approved
    },
  )

  app.post(
    '/api/v1/pending-devices/:fingerprint/reject',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'rejectDevice',
        tags: ['devices'],
        summary: 'Turn it away; it is not heard for three days, unless it is approved after all',
        params: Fingerprint,
      },
    },
    async (request, reply) => {
      const { fingerprint } = request.params
      if (!(await waitingRoom.reject(fingerprint, whoOf(request))))
        throw new Refusal('not-found', `no device with the fingerprint ${fingerprint} waits`)
      return reply.code(204).send()
    },
  )

  app.get(
    '/api/v1/registered-keys',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listRegisteredKeys',
        tags: ['devices'],
        summary: 'Keys that may come in without a token',
      },
    },
    async () => ({
      items: (await waitingRoom.registered()).map(({ registeredAt, ...key }) => ({
        ...key,
        fingerprint: keyFingerprint(key.publicKey),
        registeredAt: toRfc3339(registeredAt),
      })),
    }),
  )

  app.post(
    '/api/v1/registered-keys',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'registerKeys',
        tags: ['devices'],
        summary: 'Keys made at a factory: each may join as its device, with no secret. All or none are taken',
        body: Type.Object(
          {
            keys: Type.Array(
              Type.Object(
                { publicKey: PublicKey, deviceId: Segment, labels: Type.Optional(Labels) },
                { additionalProperties: false },
              ),
              { minItems: 1, maxItems: keysMax },
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const keys = request.body.keys.map(({ labels = {}, ...key }) => ({ ...key, labels }))
      const weak = keys.findIndex(({ publicKey }) => !isSoundPublicKey(fromHex(publicKey)!))
      if (weak >= 0)
        throw new Refusal('validation', 'not an Ed25519 public key', {
          errors: [
            {
              pointer: `#/keys/${weak}/publicKey`,
              detail: 'is no point of the curve, or one of small order',
            },
          ],
        })
      const flaws = await waitingRoom.register(keys, whoOf(request))
      if (flaws.length === 0) return reply.code(201).send({ registered: keys.length })
      throw new Refusal('conflict', `${flaws.length} of ${keys.length} keys cannot be registered; none was`, {
        errors: flaws.slice(0, 100).map(({ deviceId, detail }) => ({ detail: `${deviceId}: ${detail}` })),
      })
    },
  )

  app.delete(
    '/api/v1/registered-keys/:publicKey',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'unregisterKey',
        tags: ['devices'],
        summary: 'It may not come in any more; a device that is in already is revoked instead',
        params: Type.Object({ publicKey: PublicKey }),
      },
    },
    async (request, reply) => {
      const { publicKey } = request.params
      if (!(await waitingRoom.unregister(publicKey, whoOf(request))))
        throw new Refusal('not-found', `no registered key ${publicKey}`)
      return reply.code(204).send()
    },
  )
}
