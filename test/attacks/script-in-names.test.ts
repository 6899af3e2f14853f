import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf } from '../hub/support/new-hub.ts'

/** Names go into topics, paths, terminals and pages: letters, digits, `_` and `-` do no harm anywhere. */
const evil = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "'; DROP TABLE model; --",
  '../../etc',
  'a/b',
  'a+b',
  '#',
  'a b',
  '\u001b[2J',
  'a\u0000',
  '',
  'x'.repeat(65),
  '__proto__\u200b',
]

let box: Box
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
})
afterEach(() => box.close())

const ask = (method: 'GET' | 'POST' | 'PATCH', url: string, payload?: object) =>
  box.hub.http.inject({
    method,
    url,
    headers: { authorization: `Bearer ${box.adminToken}` },
    ...(payload && { payload }),
  })

test('no model, device, alias or slot takes such a name', async () => {
  for (const name of evil) {
    expect((await ask('POST', '/api/v1/models', { name })).statusCode, name).toBe(422)
    expect((await ask('POST', '/api/v1/join-tokens', { deviceId: name })).statusCode, name).toBe(422)
    const { token } = (await ask('POST', '/api/v1/join-tokens', {})).json()
    const { secret } = JSON.parse(Buffer.from(token.slice(5), 'base64url').toString())
    const joining = await ask('POST', '/api/v1/enrol', joinRequest(secret, seedOf(11), name))
    expect(joining.statusCode, name).toBe(422)
    const rollout = await ask('POST', '/api/v1/rollouts', { model: 'm', version: '1', slot: name })
    expect(rollout.statusCode, name).toBe(422)
  }
  expect((await ask('GET', '/api/v1/models')).json().items).toEqual([])
  expect((await ask('GET', '/api/v1/devices')).json().items).toEqual([])
})

test('names that objects have by themselves are ordinary ones', async () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    expect((await ask('POST', '/api/v1/models', { name })).statusCode, name).toBe(201)
    expect((await ask('GET', `/api/v1/models/${name}`)).json(), name).toMatchObject({ name, versions: [] })
    expect((await ask('GET', `/api/v1/models/${name}/versions/1`)).statusCode, name).toBe(404)
    expect((await ask('GET', `/api/v1/devices/${name}`)).statusCode, name).toBe(404)
  }
})

test('a description may say anything, and comes back as data that no browser runs', async () => {
  const description = evil[0]!
  await ask('POST', '/api/v1/models', { name: 'm', description })
  const answer = await ask('GET', '/api/v1/models/m')
  expect(answer.json().description).toBe(description)
  expect(answer.headers['content-type']).toMatch(/^application\/json/)
  expect(answer.headers['x-content-type-options']).toBe('nosniff')
  expect(answer.headers['content-security-policy']).toContain("default-src 'self'")
  expect(answer.headers['content-security-policy']).not.toContain('unsafe-inline')
})
