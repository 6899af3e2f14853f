import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

const password = 'correct horse battery staple'
let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const users = () => box.hub.services.users
const access = () => box.hub.services.access
type Ask = {
  method?: string
  url: string
  headers?: Record<string, string>
  payload?: unknown
  token?: string
}
const ask = ({ method = 'GET', url, headers = {}, payload, token = '' }: Ask) =>
  box.hub.http.inject({
    ...{ method: method as 'GET', url },
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    ...(payload !== undefined && { payload: payload as object }),
  })
const csrf = { 'x-godwit-csrf': '1' }
const login = (name: string, text: string, headers: Record<string, string> = csrf) =>
  ask({ method: 'POST', url: '/api/v1/session', headers, payload: { name, password: text } })

/** Somebody who has chosen a password, as people do: by the invitation of an admin. */
async function invited(name: string, roles: string[]): Promise<string> {
  const made = await ask({
    method: 'POST',
    url: '/api/v1/users',
    payload: { name, roles },
    token: box.adminToken,
  })
  const link = new URL(made.json().invitation.url, 'http://hub').hash.slice(1)
  const accept = { method: 'POST', url: '/api/v1/session/invitation/accept', headers: csrf }
  const answer = await ask({ ...accept, payload: { link, password } })
  expect(answer.statusCode).toBe(204)
  return `${answer.cookies[0]!.name}=${answer.cookies[0]!.value}`
}
const audited = async (action: string) =>
  (await box.hub.services.audit.before(undefined, 200)).filter((entry) => entry.action === action)

describe('an invitation', () => {
  test('lets its person choose a password once, and logs them in', async () => {
    const cookie = await invited('ana', ['operator', 'approver'])
    const me = (await ask({ url: '/api/v1/session', headers: { cookie } })).json()
    expect(me).toMatchObject({
      who: 'ana',
      roles: ['operator', 'approver'],
      kind: 'browser',
      user: { name: 'ana' },
    })
    expect((await login('ana', password)).statusCode).toBe(204)
  })

  test('is good for one use, for a while, and only the newest', async () => {
    const ana = (await users().create('ana', ['viewer'], 'test'))!
    const first = (await users().invite(ana.id, 'test'))!
    const second = (await users().invite(ana.id, 'test'))!
    expect(await users().acceptInvitation(first.secret, password)).toBeUndefined()
    expect(await users().acceptInvitation(second.secret, password)).toBeDefined()
    expect(await users().acceptInvitation(second.secret, password)).toBeUndefined()
    const late = (await users().invite(ana.id, 'test'))!
    box.time.now += box.config.access.invitationMs
    expect(await users().acceptInvitation(late.secret, password)).toBeUndefined()
  })

  test('does not log a browser in by itself, and a login link chooses no password', async () => {
    const ana = (await users().create('ana', ['admin'], 'test'))!
    const { secret } = (await users().invite(ana.id, 'test'))!
    expect(await access().useLoginLink(secret)).toBeUndefined()
    const link = await access().createLoginLink(['admin'], 'test')
    expect(await users().acceptInvitation(link.secret, password)).toBeUndefined()
  })

  test('refuses a short password by name', async () => {
    const ana = (await users().create('ana', ['viewer'], 'test'))!
    const { secret } = (await users().invite(ana.id, 'test'))!
    const accept = { method: 'POST', url: '/api/v1/session/invitation/accept', headers: csrf }
    const answer = await ask({ ...accept, payload: { link: secret, password: 'short' } })
    expect(answer.statusCode).toBe(422)
    expect(answer.json().errors).toMatchObject([{ pointer: '#/password' }])
    expect(await users().invited(secret)).toMatchObject({ name: 'ana' })
  })
})

describe('a login', () => {
  test('says the same of a wrong password and of a name that nobody has', async () => {
    await invited('ana', ['viewer'])
    const [wrong, nobody] = [await login('ana', 'not this one'), await login('eve', 'not this one')]
    expect(wrong.statusCode).toBe(401)
    const { request_id: _, ...said } = wrong.json()
    const { request_id: __, ...saidToo } = nobody.json()
    expect(said).toEqual(saidToo)
  })

  test('is refused when another site sends it', async () => {
    await invited('ana', ['viewer'])
    expect((await login('ana', password, {})).json()).toMatchObject({ reason: 'csrf' })
    const elsewhere = { ...csrf, origin: 'https://elsewhere.example' }
    expect((await login('ana', password, elsewhere)).json()).toMatchObject({ reason: 'csrf' })
  })

  test('is made to wait after a few failures, the right password too', async () => {
    await invited('ana', ['viewer'])
    for (let i = 0; i < 6; i++) await login('ana', 'not this one')
    const answer = await login('ana', password)
    expect(answer.statusCode).toBe(429)
    expect(answer.headers['retry-after']).toBe('1')
    box.time.now += 1_000
    expect((await login('ana', password)).statusCode).toBe(204)
  })

  test('that fails is on record, once a minute whatever names are invented', async () => {
    await invited('ana', ['viewer'])
    for (const name of ['ana', 'ana', 'eve', 'mallory']) await login(name, 'not this one')
    expect(await audited('login.failed')).toMatchObject([
      { subject: 'unknown', detail: { because: 'unknown_name' } },
      { subject: 'ana', detail: { because: 'wrong_password', address: '127.0.0.1' } },
    ])
  })
})

describe('what somebody may do', () => {
  const devices = { url: '/api/v1/devices' }
  const join = { method: 'POST', url: '/api/v1/join-tokens', payload: {} }

  test('changes at once, in the browsers that they have open', async () => {
    const cookie = await invited('ana', ['viewer'])
    const status = async (what: Ask) => (await ask({ ...what, headers: { cookie, ...csrf } })).statusCode
    expect(await status(join)).toBe(403)
    const roles = { method: 'PUT', url: '/api/v1/users/ana/roles', payload: { roles: ['operator'] } }
    expect((await ask({ ...roles, token: box.adminToken })).statusCode).toBe(200)
    expect(await status(join)).toBe(201)
    await ask({ method: 'POST', url: '/api/v1/users/ana/disable', token: box.adminToken })
    expect(await status(devices)).toBe(401)
    expect((await login('ana', password)).statusCode).toBe(401)
    await ask({ method: 'POST', url: '/api/v1/users/ana/enable', token: box.adminToken })
    expect((await login('ana', password)).statusCode).toBe(204)
    expect((await audited('user.roles'))[0]).toMatchObject({ detail: { from: ['viewer'], to: ['operator'] } })
  })

  test('their own tokens do no more than they, and die with their account', async () => {
    const cookie = await invited('ana', ['operator'])
    const mine = { method: 'POST', url: '/api/v1/tokens', headers: { cookie, ...csrf } }
    const greedy = await ask({ ...mine, payload: { name: 'x', roles: ['publisher'] } })
    expect(greedy.statusCode).toBe(403)
    const made = (await ask({ ...mine, payload: { name: 'laptop', roles: ['operator'] } })).json()
    expect((await ask({ ...join, token: made.token })).statusCode).toBe(201)
    const ana = (await users().byName('ana'))!
    await users().setRoles(ana.id, ['viewer'], 'test')
    expect((await ask({ ...join, token: made.token })).statusCode).toBe(403)
    await users().disable(ana.id, 'test')
    expect((await ask({ ...devices, token: made.token })).statusCode).toBe(401)
  })

  test('nobody sees or revokes the tokens of others, but an admin does', async () => {
    const cookie = await invited('ana', ['operator'])
    const listed = await ask({ url: '/api/v1/tokens', headers: { cookie } })
    expect(listed.json().items).toEqual([])
    const [first] = await access().tokens()
    const revoke = { method: 'DELETE', url: `/api/v1/tokens/${first!.id}` }
    expect((await ask({ ...revoke, headers: { cookie, ...csrf } })).statusCode).toBe(404)
    expect((await ask({ ...revoke, token: box.adminToken })).statusCode).toBe(204)
  })

  test('no admin takes away their own account', async () => {
    const cookie = await invited('ana', ['admin'])
    const disable = { method: 'POST', url: '/api/v1/users/ana/disable', headers: { cookie, ...csrf } }
    expect((await ask(disable)).statusCode).toBe(409)
  })
})

describe('a password', () => {
  const change = (cookie: string, old: string, next: string) =>
    ask({
      method: 'PUT',
      url: '/api/v1/session/password',
      headers: { cookie, ...csrf },
      payload: { old, next },
    })

  test('is changed by who knows the old one, and ends every other session', async () => {
    const here = await invited('ana', ['viewer'])
    const elsewhere = (await login('ana', password)).cookies[0]!
    expect((await change(here, 'not this one', 'another long password')).statusCode).toBe(403)
    expect(await audited('user.password.failed')).toMatchObject([{ subject: 'ana' }])
    expect((await change(here, password, 'another long password')).statusCode).toBe(204)
    expect((await ask({ url: '/api/v1/session', headers: { cookie: here } })).statusCode).toBe(200)
    const cookie = `${elsewhere.name}=${elsewhere.value}`
    expect((await ask({ url: '/api/v1/session', headers: { cookie } })).statusCode).toBe(401)
  })

  test('is not changed by a token, even of the same person', async () => {
    const cookie = await invited('ana', ['viewer'])
    const mine = { method: 'POST', url: '/api/v1/tokens', headers: { cookie, ...csrf } }
    const { token } = (await ask({ ...mine, payload: { name: 'laptop', roles: ['viewer'] } })).json()
    const payload = { old: password, next: 'another long password' }
    expect((await ask({ method: 'PUT', url: '/api/v1/session/password', payload, token })).statusCode).toBe(
      403,
    )
  })

  test('is nowhere in the database, the audit or the feed', async () => {
    await invited('ana', ['viewer'])
    const { db } = box.hub.services.database
    const tables = ['person', 'audit', 'feed', 'browser_session', 'login_link'] as const
    const all = await Promise.all(tables.map((table) => db.selectFrom(table).selectAll().execute()))
    expect(JSON.stringify(all)).not.toContain(password)
    expect((await db.selectFrom('person').select('password').execute())[0]!.password).toMatch(
      /^scrypt\$32768\$8\$3\$/,
    )
  })
})

test('logging out everywhere else leaves this browser in', async () => {
  const here = await invited('ana', ['viewer'])
  await login('ana', password)
  const others = { url: '/api/v1/session/others', headers: { cookie: here, ...csrf } }
  expect((await ask(others)).json().items).toHaveLength(2)
  expect((await ask({ ...others, method: 'DELETE' })).json()).toEqual({ ended: 1 })
  expect((await ask(others)).json().items).toHaveLength(1)
})

test('one session of several is ended by its name, and nobody ends those of others', async () => {
  const ana = await invited('ana', ['viewer'])
  const ben = await invited('ben', ['viewer'])
  await login('ana', password)
  const others = { url: '/api/v1/session/others', headers: { cookie: ana, ...csrf } }
  const listed: { id: string; isThis: boolean }[] = (await ask(others)).json().items
  expect(listed.map(({ isThis }) => isThis).sort()).toEqual([false, true])
  const end = { method: 'DELETE', url: `${others.url}/${listed.find(({ isThis }) => !isThis)!.id}` }
  expect((await ask({ ...end, headers: { cookie: ben, ...csrf } })).statusCode).toBe(404)
  expect((await ask({ ...end, headers: { cookie: ana, ...csrf } })).statusCode).toBe(204)
  expect((await ask(others)).json().items).toHaveLength(1)
})

test('an admin logs somebody out everywhere, who may come back', async () => {
  const cookie = await invited('ana', ['viewer'])
  const logout = await ask({ method: 'POST', url: '/api/v1/users/ana/logout', token: box.adminToken })
  expect(logout.json()).toEqual({ name: 'ana', ended: 1 })
  expect((await ask({ url: '/api/v1/session', headers: { cookie } })).statusCode).toBe(401)
  expect((await login('ana', password)).statusCode).toBe(204)
})

describe('whoever a link let in', () => {
  const byLink = async (roles: ('admin' | 'operator')[]) => {
    const { secret } = await access().createLoginLink(roles, 'test')
    return `godwit_session=${(await access().useLoginLink(secret))!.session}`
  }
  const settle = (cookie: string, name: string) =>
    ask({
      ...{ method: 'POST', url: '/api/v1/session/account', headers: { cookie, ...csrf } },
      payload: { name, password },
    })

  test('as an administrator makes themselves an account, and goes on as that person', async () => {
    const cookie = await byLink(['admin'])
    const answer = await settle(cookie, 'ana')
    expect(answer.statusCode).toBe(204)
    const own = `${answer.cookies[0]!.name}=${answer.cookies[0]!.value}`
    const me = (await ask({ url: '/api/v1/session', headers: { cookie: own } })).json()
    expect(me).toMatchObject({ who: 'ana', roles: ['admin'], user: { name: 'ana', hasPassword: true } })
    expect((await ask({ url: '/api/v1/session', headers: { cookie } })).statusCode).toBe(401)
    expect((await login('ana', password)).statusCode).toBe(204)
    expect(await audited('user.create')).toMatchObject([{ who: expect.stringMatching(/^browser:/) }])
  })

  test('takes nobody’s name, and nobody’s place who has an account', async () => {
    const ana = await invited('ana', ['admin'])
    expect((await settle(await byLink(['admin']), 'Ana')).statusCode).toBe(409)
    expect((await settle(ana, 'second')).statusCode).toBe(409)
    expect((await settle(await byLink(['operator']), 'olaf')).statusCode).toBe(403)
  })
})

test('a token that opens nothing is on record, once a minute', async () => {
  for (const token of ['godwit_pat_x', 'nonsense', 'more']) await ask({ url: '/api/v1/devices', token })
  expect(await audited('access.refused')).toMatchObject([
    { detail: { because: 'token', address: '127.0.0.1' } },
  ])
})
