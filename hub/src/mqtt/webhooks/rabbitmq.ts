import {
  type Asked,
  type Denial,
  type Hook,
  refusedLogin,
  refusedPublish,
  refusedSubscribe,
  text,
  yesOrNo,
} from './hook.ts'

const allow = { status: 200, body: 'allow' }
const deny = { status: 200, body: 'deny' }

/** Where the MQTT plugin puts everything. */
const exchange = 'amq.topic'

/**
 * rabbitmq_auth_backend_http with `http_method = post`. RabbitMQ knows no client id but MQTT's, says nothing of
 * retain, and authenticates by user name: what binds the two is that both must be the device.
 */
export const rabbitmqHooks: Record<string, Hook> = {
  user: yesOrNo(allow, deny, async (decisions, asked) => {
    const { clientId, username } = whoOf(asked)
    const password = text(asked, 'password') ?? ''
    return (await decisions.mayConnect({ clientId, username, password })) || refusedLogin(clientId)
  }),
  vhost: yesOrNo(allow, deny, async (decisions, asked) => {
    const who = whoOf(asked)
    return (await decisions.mayStay(who)) || refusedLogin(who.clientId)
  }),
  resource: yesOrNo(allow, deny, async (decisions, asked) => {
    const { username } = whoOf(asked)
    const isTheirs = isResourceOf(username, asked)
    if (isTheirs && (await decisions.mayStay({ clientId: username, username }))) return true
    const name = text(asked, 'name')
    const detail = `${username} may not ${text(asked, 'permission')} ${text(asked, 'resource')} ${name}`
    return { clientId: username, because: 'not_authorised', detail }
  }),
  topic: yesOrNo(allow, deny, async (decisions, asked): Promise<true | Denial> => {
    const { username } = whoOf(asked)
    const who = { clientId: text(asked, 'variable_map.client_id') ?? username, username }
    const filter = topicOf(text(asked, 'routing_key') ?? '')
    const isTopic = text(asked, 'resource') === 'topic' && text(asked, 'name') === exchange
    const permission = isTopic ? text(asked, 'permission') : undefined
    if (permission === 'write') {
      return (await decisions.mayPublish({ ...who, topic: filter })) || refusedPublish(who.clientId, filter)
    }
    if (permission === 'read') {
      return (await decisions.maySubscribe({ ...who, filter })) || refusedSubscribe(who.clientId, filter)
    }
    return {
      clientId: username,
      because: 'malformed',
      detail: `expected to write or read a topic of ${exchange}`,
    }
  }),
}

function whoOf(asked: Asked): { clientId: string; username: string } {
  return { clientId: text(asked, 'client_id') ?? '', username: text(asked, 'username') ?? '' }
}

/** What the MQTT plugin declares for a client: its two queues, bound to the one exchange. */
function isResourceOf(username: string, asked: Asked): boolean {
  const name = text(asked, 'name')
  const permission = text(asked, 'permission') ?? ''
  switch (text(asked, 'resource')) {
    case 'queue':
      return (
        ['configure', 'write', 'read'].includes(permission) &&
        (name === `mqtt-subscription-${username}qos0` || name === `mqtt-subscription-${username}qos1`)
      )
    case 'exchange':
      return name === exchange && ['write', 'read'].includes(permission)
    default:
      return false
  }
}

/**
 * The way back from AMQP. A slash in a routing key was none in a topic, so such a key stays what it is not: no name of
 * ours. Our own names hold no dots (SPEC 2.2), so nothing is lost.
 */
function topicOf(routingKey: string): string {
  if (/[/+]/.test(routingKey)) return ''
  return routingKey.replaceAll('.', '/').replaceAll('*', '+')
}
