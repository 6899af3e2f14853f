import { Segment } from '@godwit/protocol/schema'
import Type from 'typebox'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** The signed goal state of a device as bytes, for a stick that is carried to it. */
export const directiveRoutes: RoutePlugin = (app, { directives }) => {
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
    async ({ params: { id } }, reply) => {
      const envelope = await directives.current(id)
      if (!envelope) throw new Refusal('not-found', `there is no directive for device ${id}`)
      return reply.type('application/json').send(Buffer.from(envelope))
    },
  )
}
