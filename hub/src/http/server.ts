import type { TlsOptions, Server as TlsServer } from 'node:tls'
import cookie from '@fastify/cookie'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import Fastify, { LogController } from 'fastify'
import { Histogram } from 'prom-client'
import { uuidv7 } from 'uuidv7'
import type { Services } from '../services.ts'
import { certificateFlaw, peerOf } from '../tls/client-certificate.ts'
import { version } from '../version.ts'
import { authenticator, urlForLog } from './authentication.ts'
import { serveDashboard } from './dashboard.ts'
import { problemOf, Refusal } from './problem.ts'
import type { App, RoutePlugin } from './route-plugin.ts'
import { auditRoutes } from './routes/audit.ts'
import { blobRoutes } from './routes/blobs.ts'
import { brokerWebhookRoutes } from './routes/broker-webhooks.ts'
import { deviceKeyRoutes } from './routes/device-keys.ts'
import { deviceRoutes } from './routes/devices.ts'
import { directiveRoutes } from './routes/directives.ts'
import { enrolmentRoutes } from './routes/enrolment.ts'
import { eventRoutes } from './routes/events.ts'
import { modelRoutes } from './routes/models.ts'
import { oidcRoutes } from './routes/oidc.ts'
import { overviewRoutes } from './routes/overview.ts'
import { publishingRoutes } from './routes/publishing.ts'
import { rolloutRoutes } from './routes/rollouts.ts'
import { rolloutActionRoutes } from './routes/rollouts-actions.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { systemRoutes } from './routes/system.ts'
import { telemetryRoutes } from './routes/telemetry.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { userRoutes } from './routes/users.ts'
import { waitingRoomRoutes } from './routes/waiting-room.ts'

const routes: readonly RoutePlugin[] = [
  systemRoutes,
  sessionRoutes,
  tokenRoutes,
  userRoutes,
  oidcRoutes,
  overviewRoutes,
  enrolmentRoutes,
  waitingRoomRoutes,
  deviceRoutes,
  deviceKeyRoutes,
  directiveRoutes,
  modelRoutes,
  publishingRoutes,
  rolloutRoutes,
  rolloutActionRoutes,
  telemetryRoutes,
  blobRoutes,
  eventRoutes,
  auditRoutes,
  brokerWebhookRoutes,
]

/** The HTTP server with every route, not yet listening. */
export async function createServer(services: Services): Promise<App> {
  const { config, log, certificates } = services
  const app = Fastify({
    loggerInstance: log.child({ part: 'http' }),
    // One line per answer is ours to write, without the secrets that query strings may hold.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.http.bodyBytesMax,
    // Without it, everybody behind a proxy would be one address, and one guesser would make all of them wait.
    trustProxy: config.http.trustedProxies.length > 0 && [...config.http.trustedProxies],
    genReqId: ({ headers }) => requestIdOf(headers['x-request-id']) ?? uuidv7(),
    // All mistakes of a body at once, and none of them silently removed; the body limit bounds the work.
    ajv: { customOptions: { allErrors: true, removeAdditional: false, strict: false } },
    forceCloseConnections: 'idle',
    ...(certificates && { https: httpsOptions(services) }),
  }) as unknown as App
  certificates?.follow(app.server as unknown as TlsServer)
  // Schemas describe answers; they do not cut off what they forgot to mention.
  app.setSerializerCompiler(() => JSON.stringify)

  answerProblems(app)
  observe(app, services)
  await app.register(helmet, helmetOptions)
  await app.register(cookie)
  await app.register(rateLimit, {
    max: config.http.requestsPerMinuteMax,
    timeWindow: 60_000,
    enableDraftSpec: true,
    // A fleet behind one address fetches thousands of blocks; what a device may do is bounded by its own token.
    allowList: ({ routeOptions }) => {
      const { access, rateLimit: own } = routeOptions.config as { access?: string; rateLimit?: object }
      return access === 'device' && own === undefined
    },
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Godwit hub', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      components: { securitySchemes },
      security: [{ token: [] }, { session: [] }],
    },
  })
  // After the rate limits, which are hooks of each route on the request: who may not come in is counted too.
  app.addHook('preParsing', authenticator(services))
  app.addHook('preParsing', async ({ device, raw, routeOptions }) => {
    if (!device || routeOptions.config.withoutCertificate) return
    const flaw = certificateFlaw(config.tls.clientCertificates, peerOf(raw.socket), device.id)
    if (flaw !== undefined) throw new Refusal('unauthenticated', flaw, { reason: 'client_certificate' })
  })
  for (const plugin of routes) app.register(async (scope) => plugin(scope as unknown as App, services))
  app.get('/api/v1/openapi.json', { config: { access: 'open' }, schema: { hide: true } }, async () =>
    app.swagger(),
  )
  await serveDashboard(app)
  return app
}

/** People and programs come without a certificate, so every hand is shaken; whoever is a device is looked at after. */
function httpsOptions({ certificates, config }: Services): TlsOptions {
  const requestCert = config.tls.clientCertificates !== 'off'
  return { ...certificates?.options(), requestCert, rejectUnauthorized: false }
}

const securitySchemes = {
  token: { type: 'http', scheme: 'bearer', description: 'An API token, godwit_pat_…' },
  session: { type: 'apiKey', in: 'cookie', name: 'godwit_session' },
} as const

/** The page loads nothing from anywhere else, so nothing else may be loaded, whoever writes what into a model's name. */
const helmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
      objectSrc: ["'none'"],
    },
  },
  // A hub is often reached by plain http inside a plant; a proxy with TLS adds this header itself.
  strictTransportSecurity: false,
} as const

/** From outside it may be anything, and it goes into our log. */
function requestIdOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(header) ? header : undefined
}

function answerProblems(app: App): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  app.setErrorHandler((error, request, reply) => {
    const problem = { ...problemOf(error, request.url.split('?')[0]!), request_id: request.id }
    if (problem.status >= 500)
      request.log.error({ err: error, url: urlForLog(request.url) }, 'request failed')
    if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
    return reply.code(problem.status).type('application/problem+json').send(problem)
  })
}

function observe(app: App, { metrics }: Services): void {
  const duration = new Histogram({
    name: 'godwit_http_request_duration_seconds',
    help: 'Time to answer, by route',
    labelNames: ['method', 'route', 'code'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers: [metrics],
  })
  app.addHook('onResponse', async (request, reply) => {
    // Unknown addresses share one label: a scanner must not fill the memory with names.
    const route = request.routeOptions.url ?? 'unknown'
    duration.observe({ method: request.method, route, code: reply.statusCode }, reply.elapsedTime / 1_000)
    request.log.debug(
      { method: request.method, url: urlForLog(request.url), status: reply.statusCode, id: request.id },
      'answered',
    )
  })
}
