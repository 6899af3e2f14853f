import {
  type Denial,
  type Hook,
  refusedLogin,
  refusedPublish,
  refusedSubscribe,
  text,
  yesOrNo,
} from './hook.ts'

/** Right in the response modes `status` and `json`. 403, for the plugin takes 500 and more for a hub that is down. */
const allow = { status: 200, body: { ok: true, error: '' } }
const deny = { status: 403, body: { ok: false, error: 'not authorised' } }

/** What the plugin calls `acc`; in form mode it is text. READWRITE is nothing that a device may on any topic. */
const access = { read: '1', write: '2', subscribe: '4' }

/** mosquitto-go-auth's backend `http`. It says nothing of retain, so that rule stays with the broker. */
export const mosquittoHooks: Record<string, Hook> = {
  getuser: yesOrNo(allow, deny, async (decisions, asked) => {
    const clientId = text(asked, 'clientid') ?? ''
    const username = text(asked, 'username') ?? ''
    const password = text(asked, 'password') ?? ''
    return (await decisions.mayConnect({ clientId, username, password })) || refusedLogin(clientId)
  }),
  superuser: {
    deny,
    // Asked before every check, of everybody: nobody is one, and that is no news.
    ask: async () => ({ answer: deny }),
  },
  aclcheck: yesOrNo(allow, deny, async (decisions, asked): Promise<true | Denial> => {
    const clientId = text(asked, 'clientid') ?? ''
    const username = text(asked, 'username') ?? ''
    const topic = text(asked, 'topic') ?? ''
    const who = { clientId, username }
    switch (String(asked['acc'])) {
      case access.write:
        return (await decisions.mayPublish({ ...who, topic })) || refusedPublish(clientId, topic)
      case access.read:
      case access.subscribe:
        return (await decisions.maySubscribe({ ...who, filter: topic })) || refusedSubscribe(clientId, topic)
      default:
        return { clientId, because: 'malformed', detail: 'expected acc 1, 2 or 4' }
    }
  }),
}
