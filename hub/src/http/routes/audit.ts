import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { fromCursor, PageQuery, pageOf } from '../listing.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** Who did what, newest first. */
export const auditRoutes: RoutePlugin = (app, { audit }) => {
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
      const key = fromCursor(cursor)
      const rows = await audit.before(key === undefined ? undefined : Number(key), limit + 1)
      const page = pageOf(rows, limit, ({ id }) => `${id}`)
      return { ...page, items: page.items.map((row) => ({ ...row, at: toRfc3339(row.at) })) }
    },
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
