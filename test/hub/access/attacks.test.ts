import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

const password = 'correct horse battery staple'
let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

let guesses = 0
const csrf = { 'x-godwit-csrf': '1' }
type Ask = {
  method?: string
  url: string
  headers?: Record<string, string>
  payload?: unknown
  token?: string
  from?: string
}
const ask = ({ method = 'GET', url, headers = {}, payload, token = '', from }: Ask) =>
  box.hub.http.inject({
    ...{ method: method as 'GET', url },
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    ...(from !== undefined && { remoteAddress: from }),
    ...(payload !== undefined && { payload: payload as object }),
  })
const login = (name: string, text: string, from?: string, headers: Record<string, string> = csrf) =>
  ask({
    method: 'POST',
    url: '/api/v1/session',
    headers,
    payload: { name, password: text },
    ...(from && { from }),
  })

/** Somebody with a password, logged in: the cookie. */
async function person(name: string, roles: Parameters<Box['hub']['services']['users']['create']>[1]) {
  const { users } = box.hub.services
  const user = (await users.create(name, roles, 'test'))!
  const { secret } = (await users.invite(user.id, 'test'))!
  const { session } = (await users.acceptInvitation(secret, password))!
  return { user, cookie: `godwit_session=${session}` }
}

describe('guessing passwords', () => {
  test('many at once gets no further than one after the other', async () => {
    await person('ana', ['viewer'])
    const guesses = await Promise.all(
      Array.from({ length: 20 }, (_, i) => login('ana', `guess number ${i}`, `10.0.0.${i}`)),
    )
    expect(guesses.filter(({ statusCode }) => statusCode === 401).length).toBeLessThanOrEqual(6)
    expect(guesses.filter(({ statusCode }) => statusCode === 429).length).toBeGreaterThanOrEqual(14)
  })

  test('from all the addresses of one IPv6 network is guessing from one address', async () => {
    for (let i = 0; i < 6; i++) await login(`name-${i}`, 'not this one', `2001:db8:0:1::${i + 1}`)
    expect((await login('another', 'not this one', '2001:db8:0:1:ffff::9')).statusCode).toBe(429)
    expect((await login('another', 'not this one', '2001:db8:0:2::1')).statusCode).toBe(401)
  })

  test('spelled in capitals meets the same wait', async () => {
    await person('ana', ['viewer'])
    for (let i = 0; i < 6; i++) await login('ana', 'not this one', `10.0.0.${i}`)
    expect((await login('ANA', password, '10.0.0.77')).statusCode).toBe(429)
  })
})

describe('a name', () => {
  test.each(['Ana', 'ANA'])('that reads like one that is taken is refused: %s', async (name) => {
    const { users } = box.hub.services
    await users.create('ana', ['viewer'], 'test')
    expect(await users.create(name, ['viewer'], 'test')).toBeUndefined()
  })

  test.each(['hub', 'Hub', 'anonymous'])('that the audit uses for itself is nobody’s: %s', async (name) => {
    const make = { method: 'POST', url: '/api/v1/users', payload: { name, roles: ['viewer'] } }
    const answer = await ask({ ...make, token: box.adminToken })
    expect([409, 422]).toContain(answer.statusCode)
  })
})

describe('a token that may only read', () => {
  test('changes nothing of its owner: neither sessions, nor tokens, nor the password', async () => {
    const { access } = box.hub.services
    const { user, cookie } = await person('ana', ['admin'])
    const made = await access.createToken(
      { name: 'wall', roles: ['viewer'], scopes: ['read'], userId: user.id },
      'test',
    )
    const other = await access.createToken({ name: 'laptop', roles: ['admin'], userId: user.id }, 'test')
    const status = async (what: Ask) => (await ask({ ...what, token: made.token })).statusCode
    expect(await status({ url: '/api/v1/session' })).toBe(200)
    expect(await status({ method: 'DELETE', url: '/api/v1/session/others' })).toBe(403)
    expect(await status({ method: 'DELETE', url: `/api/v1/tokens/${other.id}` })).toBe(403)
    const more = { method: 'POST', url: '/api/v1/tokens', payload: { name: 'x', roles: ['viewer'] } }
    expect(await status(more)).toBe(403)
    expect((await ask({ url: '/api/v1/session', headers: { cookie } })).statusCode).toBe(200)
    expect(await access.byToken(other.token)).toBeDefined()
  })
})

test('an administrator’s token whose owner is disabled leaves no administrator', async () => {
  const { access, users } = box.hub.services
  for (const { id } of await access.tokens()) await access.revokeToken(id, 'test')
  const { user } = await person('ana', ['admin'])
  await access.createToken({ name: 'laptop', roles: ['admin'], userId: user.id }, 'test')
  expect(await access.hasAdmin()).toBe(true)
  await users.disable(user.id, 'test')
  expect(await access.hasAdmin()).toBe(false)
})

test('a device’s key rotation has a limit of its own', async () => {
  const url = '/api/v1/devices/d1/rotate'
  const answer = await ask({ method: 'POST', url, headers: { 'x-godwit-device': 'd1' }, payload: {} })
  expect(answer.headers['ratelimit-limit']).toBe('60')
})

describe('a stream of live events', () => {
  const opened = async (headers: Record<string, string>) => {
    const { httpUrl } = box.hub.addresses
    const response = await fetch(`${httpUrl}/api/v1/events`, { headers })
    expect(response.status).toBe(200)
    return response
  }
  beforeEach(() => box.hub.start())

  test('ends with the account of whoever opened it', async () => {
    const { user, cookie } = await person('ana', ['viewer'])
    const stream = await opened({ cookie })
    await box.hub.services.users.disable(user.id, 'test')
    // What was said of it since is for nobody who is not welcome any more.
    expect(await stream.text()).not.toContain('user.disable')
  })

  test('ends with the token that opened it', async () => {
    const { access } = box.hub.services
    const { id, token } = await access.createToken({ name: 'wall', roles: ['viewer'] }, 'test')
    const stream = await opened({ authorization: `Bearer ${token}` })
    await access.revokeToken(id, 'test')
    expect(await stream.text()).not.toContain('token.revoke')
  })
})

test('tokens that open nothing are counted against the address that sends them', async () => {
  const answer = await ask({ url: '/api/v1/devices', token: 'nonsense' })
  expect(answer.statusCode).toBe(401)
  expect(Number(answer.headers['ratelimit-remaining'])).toBeLessThan(
    Number(answer.headers['ratelimit-limit']),
  )
})

describe('behind a proxy', () => {
  beforeEach(async () => {
    await box.close()
    box = await newHub({ http: { port: 0, publicUrl: 'https://hub.example', trustedProxies: ['10.9.0.1'] } })
    box.hub.services.enrolment.addresses.httpUrl = 'https://hub.example'
  })

  test('a page of the hub may ask, though the proxy calls it by another host', async () => {
    const { user } = await person('ana', ['admin'])
    const { secret } = (await box.hub.services.users.invite(user.id, 'test'))!
    const { session } = (await box.hub.services.users.acceptInvitation(secret, password))!
    const cookie = `__Host-godwit_session=${session}`
    const from = (origin: string) =>
      ask({
        ...{ method: 'POST', url: '/api/v1/models', payload: { name: `m-${origin.length}` } },
        headers: { cookie, ...csrf, host: 'hub-internal:8080', origin },
      })
    expect((await from('https://hub.example')).statusCode).toBe(201)
    expect((await from('https://elsewhere.example')).json()).toMatchObject({ reason: 'csrf' })
    expect((await from('null')).json()).toMatchObject({ reason: 'csrf' })
  })

  test('each person has an address of their own, on the word of the proxy and of nobody else', async () => {
    const guess = (address: string, peer: string) =>
      ask({
        ...{ method: 'POST', url: '/api/v1/session', from: peer },
        headers: { ...csrf, 'x-forwarded-for': address },
        payload: { name: `name-${++guesses}`, password: 'not this one' },
      })
    for (let i = 0; i < 6; i++) await guess('203.0.113.7', '10.9.0.1')
    expect((await guess('203.0.113.7', '10.9.0.1')).statusCode).toBe(429)
    expect((await guess('203.0.113.8', '10.9.0.1')).statusCode).toBe(401)
    for (let i = 0; i < 6; i++) await guess(`203.0.113.${100 + i}`, '192.0.2.1')
    expect((await guess('203.0.113.200', '192.0.2.1')).statusCode).toBe(429)
  })
})
