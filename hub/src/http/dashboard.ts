import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyRequest } from 'fastify'
import { isOfPage } from './page-address.ts'
import { Refusal } from './problem.ts'
import type { App } from './route-plugin.ts'

/** From `dist/http/` and from `src/http/` alike. */
const built = fileURLToPath(new URL('../../dashboard/dist', import.meta.url))

/** The page of the hub. Its addresses are the page's own business, so every unknown one of them gets the page. */
export async function serveDashboard(app: App, directory = built): Promise<void> {
  const isBuilt = existsSync(`${directory}/index.html`)
  if (isBuilt) {
    await app.register(fastifyStatic, { root: directory, wildcard: false, index: false, maxAge: 0 })
    app.get('/', { schema: { hide: true } }, (_, reply) => reply.sendFile('index.html'))
  }
  app.setNotFoundHandler(async (request, reply) => {
    if (isBuilt && isForPage(request)) return reply.sendFile('index.html')
    const hint = isBuilt ? {} : { hint: 'The dashboard is not built: run `npm run build`.' }
    throw new Refusal('not-found', `nothing at ${request.method} ${request.url.split('?')[0]}`, hint)
  })
}

function isForPage({ method, url, headers }: FastifyRequest): boolean {
  return method === 'GET' && isOfPage(url) && (headers.accept ?? '').includes('text/html')
}
