import { Segment } from '@godwit/protocol/schema'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** What is signed for one device, or for a stick that is carried to some, byte for byte. */
export const directiveRoutes: RoutePlugin = (app, { clock, config, directives, repository }) => {
  const found = async (id: string, envelope: Promise<Uint8Array | undefined>) => {
    const bytes = await envelope
    if (!bytes) throw new Refusal('not-found', `there is no directive for device ${id}`)
    return Buffer.from(bytes)
  }

  app.get(
    '/api/v1/devices/:id/directive',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'getDirective',
        tags: ['devices'],
        summary: 'The newest signed directive of a device, byte for byte',
        params: Type.Object({ id: Segment }),
      },
    },
    async ({ params: { id } }, reply) =>
      reply.type('application/json').send(await found(id, directives.current(id))),
  )

  app.post(
    '/api/v1/medium',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'signForMedium',
        tags: ['devices'],
        summary:
          'A timestamp and a snapshot that a stick may carry for longer, and directives that last as long',
        body: Type.Object({
          validForMs: Type.Integer({ minimum: 60_000 }),
          deviceIds: Type.Optional(Type.Array(Segment, { maxItems: 256 })),
        }),
      },
    },
    async (request) => {
      const { validForMs, deviceIds = [] } = request.body
      const mostMs = config.metadata.mediumExpiresMsMax
      if (validForMs > mostMs)
        throw new Refusal('validation', `a stick of this hub is valid for ${mostMs} ms at most`, {
          hint: 'metadata.mediumExpiresMsMax in the configuration of the hub',
          errors: [{ pointer: '/validForMs', detail: `expected at most ${mostMs}, found ${validForMs}` }],
        })
      // Before anything is signed: a name that was mistyped shall cost nothing.
      for (const id of deviceIds) await found(id, directives.current(id))
      const who = whoOf(request)
      const { validUntil, timestamp, snapshot } = await repository.signForMedium(clock() + validForMs, who)
      const signed: [string, string][] = []
      for (const id of deviceIds)
        signed.push([id, (await found(id, directives.lasting(id, validUntil, who))).toString()])
      return {
        validUntil: toRfc3339(validUntil),
        timestamp: Buffer.from(timestamp).toString(),
        snapshot: Buffer.from(snapshot.bytes).toString(),
        directives: Object.fromEntries(signed),
      }
    },
  )
}
