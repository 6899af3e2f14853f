// Each of these adds its fields to Fastify's own types, so that routes may use them.
import '@fastify/cookie'
import '@fastify/rate-limit'
import '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Services } from '../services.ts'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** The routes of one noun. Every file in `routes/` exports one, and `server.ts` registers them all. */
export type RoutePlugin = (app: App, services: Services) => void
