import { Oidc } from '../../access/oidc.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { seldom, setSession } from './sessions.ts'

const callback = '/login/oidc/callback'

/** Single sign-on: out to the provider, and back with a code that only this browser can use. */
export const oidcRoutes: RoutePlugin = (app, services) => {
  const { clock, config, enrolment, log, users } = services
  const settings = config.access.oidc
  const own = () => enrolment.addresses.httpUrl
  const oidc = settings && new Oidc(settings, () => `${own()}${callback}`, clock)
  const cookieName = () => (own().startsWith('https:') ? '__Secure-godwit_oidc' : 'godwit_oidc')
  // Lax, because the provider's page is what leads back here. Nothing but the way back reads it.
  const cookie = () => ({
    httpOnly: true,
    sameSite: 'lax' as const,
    secure: own().startsWith('https:'),
    path: '/login/oidc',
  })

  app.get(
    '/login/oidc',
    { config: { access: 'open', rateLimit: seldom }, schema: { hide: true } },
    async (_, reply) => {
      if (!oidc) throw new Refusal('not-found', 'this hub has no single sign-on')
      const begun = await oidc.begin()
      return reply
        .setCookie(cookieName(), begun.cookie, { ...cookie(), maxAge: 600 })
        .redirect(begun.url, 303)
    },
  )

  app.get(
    callback,
    { config: { access: 'open', rateLimit: seldom }, schema: { hide: true } },
    async (request, reply) => {
      if (!oidc) throw new Refusal('not-found', 'this hub has no single sign-on')
      const verdict = await oidc.finish(request.cookies[cookieName()], request.url.split('?')[1] ?? '')
      reply.clearCookie(cookieName(), cookie())
      // A person stands before this answer, so the page says it in words; the reason is in the log and the audit.
      const back = (because: string) => reply.redirect(`/?refused=${because}`, 303)
      if (!verdict.known) {
        const { because, detail } = verdict
        log.warn({ because, detail }, 'single sign-on refused')
        await users.refused(`oidc_${because}`, request.ip)
        return back(because)
      }
      const login = await users.introduce(verdict.introduction, request.ip)
      if (!login.loggedIn) return back(login.because.replaceAll('-', '_'))
      return setSession(reply, services, login).redirect('/', 303)
    },
  )
}
