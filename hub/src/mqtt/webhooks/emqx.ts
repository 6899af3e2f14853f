import { certificateFlaw, type Peer } from '../../tls/client-certificate.ts'
import { flag, type Hook, refusedLogin, refusedPublish, refusedSubscribe, text, yesOrNo } from './hook.ts'

/** EMQX takes 4xx and 5xx for "ask somebody else", so no is said with 200. */
const deny = { status: 200, body: { result: 'deny' } }

/**
 * EMQX 5. No `acl` comes with the login, although it would save a question per publish: it would hold until the
 * client goes, and a device that is revoked in between would go on speaking.
 */
export function emqxHooks(fleet: string, certificates: string): Record<string, Hook> {
  const allow = { status: 200, body: { result: 'allow', is_superuser: false, client_attrs: { fleet } } }
  return {
    authn: yesOrNo(allow, deny, async (decisions, asked) => {
      const clientId = text(asked, 'clientid') ?? ''
      const username = text(asked, 'username') ?? ''
      const password = text(asked, 'password') ?? ''
      // EMQX writes "undefined" for what it does not know.
      const commonName = text(asked, 'cn')?.replace(/^undefined$/, '') ?? ''
      const peer: Peer = commonName === '' ? { certificate: 'none' } : { certificate: 'trusted', commonName }
      const flaw = certificateFlaw(certificates, peer, clientId)
      if (flaw !== undefined) return { ...refusedLogin(clientId), detail: flaw }
      return (await decisions.mayConnect({ clientId, username, password })) || refusedLogin(clientId)
    }),
    authz: yesOrNo({ status: 200, body: { result: 'allow' } }, deny, async (decisions, asked) => {
      const clientId = text(asked, 'clientid') ?? ''
      const username = text(asked, 'username') ?? ''
      const topic = text(asked, 'topic') ?? ''
      const who = { clientId, username }
      switch (text(asked, 'action')) {
        case 'publish': {
          const may = await decisions.mayPublish({ ...who, topic, retain: flag(asked, 'retain') })
          return may || refusedPublish(clientId, topic)
        }
        case 'subscribe':
          return (
            (await decisions.maySubscribe({ ...who, filter: topic })) || refusedSubscribe(clientId, topic)
          )
        default:
          return { clientId, because: 'malformed', detail: 'expected action publish or subscribe' }
      }
    }),
  }
}
