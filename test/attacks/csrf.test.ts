import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../hub/support/new-hub.ts'

let box: Box
let cookie: string
beforeEach(async () => {
  box = await newHub()
  const { access } = box.hub.services
  const { secret } = await access.createLoginLink(['admin'], 'test')
  const { cookies } = await box.hub.http.inject(`/login?link=${secret}`)
  cookie = `${cookies[0]!.name}=${cookies[0]!.value}`
})
afterEach(() => box.close())

/** What a page of another site can make the victim's browser send: the cookie, and none of our headers. */
const ask = (method: string, url: string, headers: Record<string, string> = {}) =>
  box.hub.http.inject({ method: method as 'GET', url, headers: { cookie, host: 'hub.example', ...headers } })

test('no route that changes anything takes a cookie alone', async () => {
  const { paths } = (await ask('GET', '/api/v1/openapi.json')).json() as { paths: Record<string, object> }
  const writes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations)
      .filter((method) => !['get', 'head'].includes(method))
      .map((method) => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'x')] as const),
  )
  expect(writes.length).toBeGreaterThan(30)
  // Whoever joins or accepts an invitation shows a secret of their own, which no other site knows.
  const withSecret = new Set(['/api/v1/enrol', '/api/v1/session/invitation'])
  for (const [method, url] of writes.filter(([, path]) => !withSecret.has(path))) {
    const answer = await ask(method, url)
    // 422 for those that look at the body first: it holds no secret here, so nothing is done either way.
    expect([403, 422, 401], `${method} ${url}`).toContain(answer.statusCode)
  }
})

test('the header of a page elsewhere does not help, since its origin is told', async () => {
  const forged = { 'x-godwit-csrf': '1', origin: 'https://elsewhere.example' }
  const answer = await ask('DELETE', '/api/v1/session', forged)
  expect(answer.json()).toMatchObject({ status: 403, reason: 'csrf' })
  const own = { 'x-godwit-csrf': '1', origin: 'http://hub.example' }
  expect((await ask('DELETE', '/api/v1/session', own)).statusCode).toBe(204)
})

test('the cookie is not sent from other sites in the first place', async () => {
  const { access } = box.hub.services
  const { secret } = await access.createLoginLink(['admin'], 'test')
  const { headers } = await box.hub.http.inject(`/login?link=${secret}`)
  expect(headers['set-cookie']).toMatch(/HttpOnly; SameSite=Strict/)
})
