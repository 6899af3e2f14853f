import {
  type Answer,
  type Asked,
  flag,
  type Hook,
  refusedLogin,
  refusedPublish,
  refusedSubscribe,
  text,
  yesOrNo,
} from './hook.ts'

/** VerneMQ wants 200 for everything. Nothing is cached, since no `max-age` goes with it. */
const allow = { status: 200, body: { result: 'ok' } }
const deny = { status: 200, body: { result: { error: 'not_allowed' } } }

const register = yesOrNo(allow, deny, async (decisions, asked) => {
  const clientId = text(asked, 'client_id') ?? ''
  const username = text(asked, 'username') ?? ''
  const password = text(asked, 'password') ?? ''
  return (await decisions.mayConnect({ clientId, username, password })) || refusedLogin(clientId)
})

const publish = yesOrNo(allow, deny, async (decisions, asked) => {
  const clientId = text(asked, 'client_id') ?? ''
  const topic = text(asked, 'topic') ?? ''
  const question = {
    clientId,
    username: text(asked, 'username') ?? '',
    topic,
    retain: flag(asked, 'retain'),
    // Base64; absent with `no_payload = on`, and then its length is the broker's to limit.
    bytes: Buffer.byteLength(text(asked, 'payload') ?? '', 'base64'),
  }
  return (await decisions.mayPublish(question)) || refusedPublish(clientId, topic)
})

/** MQTT's codes for one filter that is refused while others may stand: 128 in 3.1.1, 135 "not authorised" in 5. */
function subscribe(refused: 128 | 135, wrap: (topics: Topic[]) => Answer['body']): Hook {
  return {
    deny,
    async ask(decisions, asked) {
      const clientId = text(asked, 'client_id') ?? ''
      const username = text(asked, 'username') ?? ''
      const wanted = topicsOf(asked)
      if (wanted.length === 0) {
        return { answer: deny, denial: { clientId, because: 'malformed', detail: 'expected topics' } }
      }
      const decided: Topic[] = []
      for (const { topic, qos } of wanted) {
        const may = await decisions.maySubscribe({ clientId, username, filter: topic })
        decided.push({ topic, qos: may ? qos : refused })
      }
      const no = decided.find(({ qos }) => qos === refused)
      if (!no) return { answer: allow }
      return { answer: { status: 200, body: wrap(decided) }, denial: refusedSubscribe(clientId, no.topic) }
    },
  }
}

type Topic = { topic: string; qos: number }

function topicsOf(asked: Asked): Topic[] {
  const { topics } = asked
  if (!Array.isArray(topics)) return []
  return topics.map((one: Partial<Record<keyof Topic, unknown>> | null) => ({
    topic: typeof one?.topic === 'string' ? one.topic : '',
    qos: one?.qos === 1 || one?.qos === 2 ? one.qos : 0,
  }))
}

/** By the header `vernemq-hook`; one address serves all of them. */
export const vernemqHooks: Record<string, Hook> = {
  auth_on_register: register,
  auth_on_register_m5: register,
  auth_on_publish: publish,
  auth_on_publish_m5: publish,
  auth_on_subscribe: subscribe(128, (topics) => ({ result: 'ok', topics })),
  auth_on_subscribe_m5: subscribe(135, (topics) => ({ result: 'ok', modifiers: { topics } })),
}

/** A hook that nobody here knows must not pass for want of an answer. */
export const vernemqUnknown: Hook = {
  deny,
  ask: async () => ({
    answer: deny,
    denial: { clientId: undefined, because: 'malformed', detail: 'unknown hook' },
  }),
}
