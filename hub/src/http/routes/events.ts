import type { Readable } from 'node:stream'
import Type from 'typebox'
import { stillWelcome } from '../authentication.ts'
import { eventStream } from '../event-stream.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** What happens, as it happens. */
export const eventRoutes: RoutePlugin = (app, services) => {
  const { feed, log } = services
  const open = new Set<Readable>()
  // A stream never ends by itself, and the server waits for its answers before it stops.
  app.addHook('preClose', async () => {
    for (const stream of open) stream.destroy()
  })

  app.get(
    '/api/v1/events',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'streamEvents',
        tags: ['live'],
        summary: 'Server-sent events; Last-Event-ID continues where a client left off',
        querystring: Type.Object({
          topics: Type.Optional(
            Type.String({ maxLength: 4_096, description: 'Only these, as device:ID,rollout:ID,fleet' }),
          ),
        }),
        produces: ['text/event-stream'],
      },
    },
    async (request, reply) => {
      const { query, headers } = request
      const { topics } = query
      const wanted = topics === undefined ? undefined : new Set(topics.split(','))
      const last = Number(headers['last-event-id'] ?? Number.NaN)
      const stream = eventStream(feed, {
        lastEventId: Number.isSafeInteger(last) && last >= 0 ? last : undefined,
        isWanted: ({ topic }) => wanted === undefined || wanted.has(topic),
        isWelcome: stillWelcome(request, services),
      })
      open.add(stream)
      stream.once('close', () => open.delete(stream))
      stream.once('error', (err) => log.debug({ err }, 'event stream ended'))
      return reply
        .type('text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(stream)
    },
  )
}
