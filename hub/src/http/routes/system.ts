import { limits } from '@godwit/protocol'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { version } from '../../version.ts'
import { type ProblemSlug, problems, Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const open = { access: 'open' } as const

/** What needs no login: is it alive, which version, what time, and the signed metadata. */
export const systemRoutes: RoutePlugin = (app, { config, clock, database, metrics, repository }) => {
  app.get('/livez', { config: open, schema: { hide: true } }, async (_, reply) =>
    reply.type('text/plain').send('ok\n'),
  )

  app.get('/readyz', { config: open, schema: { hide: true } }, async (_, reply) => {
    await database.db.selectFrom('setting').select('key').limit(1).execute()
    return reply.type('text/plain').send('ok\n')
  })

  app.get('/metrics', { config: open, schema: { hide: true } }, async (_, reply) =>
    reply.type(metrics.contentType).send(await metrics.metrics()),
  )

  app.get(
    '/api/v1/version',
    {
      config: open,
      schema: { operationId: 'getVersion', tags: ['system'], summary: 'Version of this hub, and its fleet' },
    },
    async () => ({ name: 'godwit', version, fleet: config.fleet, protocol: 1 }),
  )

  app.get(
    '/api/v1/time',
    { config: open, schema: { operationId: 'getTime', tags: ['system'], summary: "The hub's clock" } },
    async (_, reply) => reply.header('cache-control', 'no-store').send({ time: toRfc3339(clock()) }),
  )

  app.get(
    '/meta/:file',
    {
      config: open,
      schema: {
        operationId: 'getMetadata',
        tags: ['trust'],
        summary: 'Trust metadata by file name, byte for byte as it was signed',
        params: Type.Object({ file: Type.String({ maxLength: 64 }) }),
      },
    },
    async ({ params: { file } }, reply) => {
      const bytes = await repository.serve(file)
      if (!bytes) throw new Refusal('not-found', `no metadata file ${file}`)
      // Everything but the timestamp has its version in its name.
      const cache = file === 'timestamp.json' ? 'no-cache' : 'public, max-age=31536000, immutable'
      return reply.type('application/json').header('cache-control', cache).send(Buffer.from(bytes))
    },
  )

  app.get(
    '/problems/:slug',
    {
      config: open,
      schema: { hide: true, params: Type.Object({ slug: Type.String({ maxLength: 64 }) }) },
    },
    async ({ params: { slug } }, reply) => {
      if (!Object.hasOwn(problems, slug)) throw new Refusal('not-found', `no problem ${slug}`)
      const { status, title } = problems[slug as ProblemSlug]
      return reply.type('text/plain').send(`${slug}: ${title}.\nAnswered with status ${status}.\n`)
    },
  )

  app.get(
    '/api/v1/limits',
    {
      config: open,
      schema: { operationId: 'getLimits', tags: ['system'], summary: 'Sizes and counts on the wire' },
    },
    async () => ({ ...limits }),
  )
}
