import { Readable } from 'node:stream'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { exportLines } from '../../trust/audit-export.ts'
import { idFromCursor, PageQuery, pageOf } from '../listing.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** Who did what, newest first. */
export const auditRoutes: RoutePlugin = (app, services) => {
  const { audit } = services
  app.get(
    '/api/v1/audit',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listAudit',
        tags: ['audit'],
        summary: 'What was done here, newest first',
        querystring: Type.Object(PageQuery),
      },
    },
    async ({ query: { limit = 50, cursor } }) => {
      const rows = await audit.before(idFromCursor(cursor), limit + 1)
      const page = pageOf(rows, limit, ({ id }) => `${id}`)
      return { ...page, items: page.items.map((row) => ({ ...row, at: toRfc3339(row.at) })) }
    },
  )

  app.get(
    '/api/v1/audit/export',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'exportAudit',
        tags: ['audit'],
        summary: 'All of it as JSON lines, with the signed checkpoints and the roots to prove it by',
        produces: ['application/jsonl'],
      },
    },
    async (_, reply) =>
      reply
        .type('application/jsonl')
        .header('cache-control', 'no-store')
        .header('content-disposition', 'attachment; filename="audit.jsonl"')
        .send(Readable.from(exportLines(services), { objectMode: false })),
  )

  app.get(
    '/api/v1/audit/verify',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'verifyAudit',
        tags: ['audit'],
        summary: 'Does every entry follow from the one before?',
      },
    },
    async () => {
      const brokenAt = await audit.verifyChain()
      return brokenAt === undefined ? { intact: true } : { intact: false, brokenAt }
    },
  )
}
