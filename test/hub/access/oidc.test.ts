import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'
import { OpenIdProvider } from './openid-provider.ts'

let provider: OpenIdProvider
let box: Box
beforeEach(async () => {
  provider = await OpenIdProvider.start()
  const oidc = {
    issuer: provider.issuer,
    clientId: provider.clientId,
    roles: { 'plant-operators': ['operator'], 'model-board': ['approver', 'publisher'] },
  }
  // Where the hub is said to be; it need not listen for a browser that is not one.
  box = await newHub({ access: { oidc }, http: { port: 0, publicUrl: 'http://hub.example' } })
  box.hub.services.enrolment.addresses.httpUrl = 'http://hub.example'
})
afterEach(async () => {
  await box.close()
  await provider.stop()
})

type Answer = Awaited<ReturnType<typeof get>>
const get = (url: string, cookie = '') => box.hub.http.inject({ url, headers: cookie ? { cookie } : {} })
const cookieOf = ({ cookies }: Answer) => cookies.map(({ name, value }) => `${name}=${value}`).join('; ')

/** Out to the provider: where the browser is sent, and what it carries. */
async function begun(): Promise<{ to: string; cookie: string }> {
  const out = await get('/login/oidc')
  expect(out.statusCode).toBe(303)
  return { to: String(out.headers.location), cookie: cookieOf(out) }
}
const back = (query: URLSearchParams, cookie: string) => get(`/login/oidc/callback?${query}`, cookie)

async function loggedIn(): Promise<Answer> {
  const { to, cookie } = await begun()
  return back(provider.consent(to), cookie)
}
const whoIs = async (answer: Answer) => (await get('/api/v1/session', cookieOf(answer))).json()
const wasRefused = (answer: Answer, because: string) => {
  expect(answer.headers.location).toBe(`/?refused=${because}`)
  expect(answer.cookies.filter(({ name, value }) => name.endsWith('_session') && value)).toEqual([])
}

describe('single sign-on', () => {
  test('makes the user at the first login, with the roles of their groups', async () => {
    const answer = await loggedIn()
    expect(answer.headers.location).toBe('/')
    expect(await whoIs(answer)).toMatchObject({
      who: 'ana',
      roles: ['operator'],
      user: { oidcIssuer: provider.issuer },
    })
  })

  test('takes roles over from the provider at every login', async () => {
    await loggedIn()
    provider.person = { ...provider.person, groups: ['model-board', 'something else'] }
    expect(await whoIs(await loggedIn())).toMatchObject({ roles: ['approver', 'publisher'] })
    expect(await box.hub.services.users.all()).toHaveLength(1)
  })

  test('asks with PKCE, a state and a nonce', async () => {
    const { searchParams } = new URL((await begun()).to)
    expect(Object.fromEntries(searchParams)).toMatchObject({
      ...{ response_type: 'code', code_challenge_method: 'S256', scope: 'openid profile email' },
      redirect_uri: 'http://hub.example/login/oidc/callback',
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      state: expect.stringMatching(/^[\w-]{43}$/),
    })
  })

  test('keeps out whose groups give no role', async () => {
    provider.person = { ...provider.person, groups: ['visitors'] }
    wasRefused(await loggedIn(), 'no_role')
    expect(await box.hub.services.users.all()).toEqual([])
  })

  test('takes everything from whom the provider gives nothing any more: browsers and tokens too', async () => {
    const open = await loggedIn()
    const { access, users } = box.hub.services
    const ana = (await users.byName('ana'))!
    const made = await access.createToken({ name: 'laptop', roles: ['operator'], userId: ana.id }, 'test')
    provider.person = { ...provider.person, groups: ['visitors'] }
    wasRefused(await loggedIn(), 'no_role')
    expect((await get('/api/v1/session', cookieOf(open))).statusCode).toBe(401)
    const headers = { authorization: `Bearer ${made.token}` }
    expect((await box.hub.http.inject({ url: '/api/v1/devices', headers })).statusCode).toBe(403)
  })

  test('gives no password beside it: that would outlive what the provider says', async () => {
    await loggedIn()
    const headers = { authorization: `Bearer ${box.adminToken}` }
    const answer = await box.hub.http.inject({ method: 'POST', url: '/api/v1/users/ana/invite', headers })
    expect(answer.statusCode).toBe(409)
  })

  test('keeps out who was disabled here', async () => {
    await loggedIn()
    const ana = (await box.hub.services.users.byName('ana'))!
    await box.hub.services.users.disable(ana.id, 'test')
    wasRefused(await loggedIn(), 'disabled')
  })

  test('does not become a local user of the same name', async () => {
    await box.hub.services.users.create('ana', ['admin'], 'test')
    wasRefused(await loggedIn(), 'name_taken')
  })

  test.each(['a b', '', 7, undefined, 'hub', 'Anonymous'])(
    'keeps out a name that cannot be one: %s',
    async (name) => {
      provider.person = { ...provider.person, preferred_username: name }
      wasRefused(await loggedIn(), 'name_not_usable')
    },
  )
})

describe('a malicious way back', () => {
  test('into a browser that began no login', async () => {
    const { to } = await begun()
    wasRefused(await back(provider.consent(to), ''), 'not_begun')
  })

  test("with somebody else's login: the attacker's code in the victim's browser", async () => {
    const attacker = await begun()
    const victim = await begun()
    wasRefused(await back(provider.consent(attacker.to), victim.cookie), 'answer_not_valid')
  })

  test('twice with the same code', async () => {
    const { to, cookie } = await begun()
    const query = provider.consent(to)
    expect((await back(query, cookie)).headers.location).toBe('/')
    wasRefused(await back(query, cookie), 'not_begun')
  })

  test('with another state', async () => {
    const { to, cookie } = await begun()
    const query = provider.consent(to)
    query.set('state', 'another')
    wasRefused(await back(query, cookie), 'answer_not_valid')
  })

  test('that names another issuer (mix-up)', async () => {
    const { to, cookie } = await begun()
    const query = provider.consent(to)
    query.set('iss', 'https://elsewhere.example')
    wasRefused(await back(query, cookie), 'answer_not_valid')
  })

  test('too late', async () => {
    const { to, cookie } = await begun()
    box.time.now += 11 * 60_000
    wasRefused(await back(provider.consent(to), cookie), 'not_begun')
  })

  test('with a no of the provider', async () => {
    const { to, cookie } = await begun()
    const state = new URL(to).searchParams.get('state')!
    const no = new URLSearchParams({ error: 'access_denied', state, iss: provider.issuer })
    wasRefused(await back(no, cookie), 'refused_by_provider')
  })
})

describe('a token of the provider', () => {
  test.each([
    ['that nobody signed', { signs: 'not-at-all' as const }],
    ['that another key signed', { signs: 'other-key' as const }],
    ['with another nonce', { lie: { nonce: 'another' } }],
    ['for another client', { lie: { aud: 'somebody-else' } }],
    ['of another issuer', { lie: { iss: 'https://elsewhere.example' } }],
    ['that has expired', { lie: { exp: 1_000 } }],
  ])('%s opens nothing', async (_, change) => {
    Object.assign(provider, change)
    wasRefused(await loggedIn(), 'answer_not_valid')
    expect(await box.hub.services.users.all()).toEqual([])
  })
})

describe('an address that decides', () => {
  beforeEach(async () => {
    await box.close()
    const roles = { 'boss@example.com': ['admin'] }
    const { issuer, clientId } = provider
    box = await newHub({
      access: { oidc: { issuer, clientId, rolesClaim: 'email', roles } },
      http: { port: 0, publicUrl: 'http://hub.example' },
    })
    box.hub.services.enrolment.addresses.httpUrl = 'http://hub.example'
  })

  test.each([undefined, false, 'true'])('must be verified by the provider: %s', async (verified) => {
    provider.person = { ...provider.person, email: 'boss@example.com', email_verified: verified }
    wasRefused(await loggedIn(), 'email_not_verified')
    expect(await box.hub.services.users.all()).toEqual([])
  })

  test('is believed when it is', async () => {
    provider.person = { ...provider.person, email: 'boss@example.com', email_verified: true }
    expect(await whoIs(await loggedIn())).toMatchObject({ roles: ['admin'] })
  })
})

test('a provider that is down is said so, and asked again at the next try', async () => {
  const { issuer } = provider
  await provider.stop()
  const answer = await get('/login/oidc')
  expect(answer.statusCode).toBe(503)
  expect(answer.json().detail).toContain(issuer)
})
