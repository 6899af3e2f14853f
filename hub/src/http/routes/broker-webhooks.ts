import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parse } from 'node:querystring'
import { Fault } from '@godwit/protocol/fault'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { createDecisions } from '../../mqtt/external-broker.ts'
import { emqxHooks } from '../../mqtt/webhooks/emqx.ts'
import { type Answer, askedOf, type Hook } from '../../mqtt/webhooks/hook.ts'
import { mosquittoHooks } from '../../mqtt/webhooks/mosquitto.ts'
import { rabbitmqHooks } from '../../mqtt/webhooks/rabbitmq.ts'
import { vernemqHooks, vernemqUnknown } from '../../mqtt/webhooks/vernemq.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const secretLengthMin = 16

/**
 * An external broker asks here what the embedded one decides itself. Whatever goes wrong is a no, said the way that
 * broker understands.
 */
export const brokerWebhookRoutes: RoutePlugin = (app, services) => {
  const { config, log } = services
  const secret = readSecret(config.broker.webhookSecretFile)
  const decisions = createDecisions(services)
  const emqx = emqxHooks(config.fleet, config.tls.mode === 'off' ? 'optional' : config.tls.clientCertificates)

  async function answer(hook: Hook, { headers, body }: FastifyRequest): Promise<Answer> {
    if (!isSecret(headers, secret)) {
      void decisions.denied(undefined, 'wrong_secret', 'a broker asked without the right x-broker-secret')
      return hook.deny
    }
    try {
      const { answer, denial } = await hook.ask(decisions, askedOf(body))
      if (denial) void decisions.denied(denial.clientId, denial.because, denial.detail)
      return answer
    } catch (err) {
      log.error({ err }, 'a broker could not be answered')
      return hook.deny
    }
  }

  function serve(url: string, hookOf: (request: FastifyRequest) => Hook): void {
    app.post(url, { config: { access: 'open' }, schema: { hide: true } }, async (request, reply) => {
      if (secret === undefined) throw new Refusal('not-found', `nothing at POST ${url}`)
      return send(reply, await answer(hookOf(request), request))
    })
  }

  const isJson = /^application\/json/i
  // Also what is no JSON at all: a question that cannot be read is answered with no, not with a status of its own.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    done(null, isJson.test(request.headers['content-type'] ?? '') ? json(String(body)) : parse(String(body)))
  })

  for (const [name, hook] of Object.entries(emqx)) serve(`/broker/emqx/${name}`, () => hook)
  for (const [name, hook] of Object.entries(mosquittoHooks)) serve(`/broker/mosquitto/${name}`, () => hook)
  for (const [name, hook] of Object.entries(rabbitmqHooks)) serve(`/broker/rabbitmq/${name}`, () => hook)
  serve('/broker/vernemq', ({ headers }) => {
    const name = String(headers['vernemq-hook'])
    return Object.hasOwn(vernemqHooks, name) ? vernemqHooks[name]! : vernemqUnknown
  })
}

function send(reply: FastifyReply, { status, body }: Answer): FastifyReply {
  if (typeof body === 'string') return reply.code(status).type('text/plain').send(body)
  return reply.code(status).type('application/json').send(body)
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @throws Fault `bad-config`, for a hub that cannot read it must not begin to say 404 where it has said yes and no */
function readSecret(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new Fault('bad-config', `cannot read broker.webhookSecretFile ${path}`, { cause })
  }
  if (text.length >= secretLengthMin) return digest(text)
  throw new Fault(
    'bad-config',
    `${path}: expected a secret of at least ${secretLengthMin} characters, found ${text.length}`,
  )
}

/**
 * RabbitMQ and VerneMQ set no headers of one's choice, but `http://broker:SECRET@hub/` makes them send the secret as a
 * password.
 */
function isSecret(headers: FastifyRequest['headers'], secret: Buffer | undefined): boolean {
  const given = headers['x-broker-secret'] ?? passwordOf(headers.authorization)
  if (secret === undefined || typeof given !== 'string') return false
  // Digests are of one length, so that neither length nor first wrong character shows in the time.
  return timingSafeEqual(digest(given), secret)
}

function passwordOf(authorization: string | undefined): string | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const pair = Buffer.from(encoded, 'base64').toString('utf8')
  return pair.slice(pair.indexOf(':') + 1)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
