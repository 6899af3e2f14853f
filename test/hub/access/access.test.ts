import { isToken, newToken } from '@godwit/hub/access/secret'
import { firstTokenMs } from '@godwit/hub/init'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())
const access = () => box.hub.services.access

test('a token opens with its role until it expires or is revoked', async () => {
  const short = await access().createToken({ name: 'ci', roles: ['publisher'], expiresInMs: 1_000 }, 'test')
  const long = await access().createToken({ name: 'ops', roles: ['operator'] }, 'test')
  expect(await access().byToken(short.token)).toMatchObject({
    roles: ['publisher'],
    who: `ci (token ${short.id.slice(-6)})`,
  })
  box.time.now += 1_000
  expect(await access().byToken(short.token)).toBeUndefined()
  expect(await access().byToken(long.token)).toMatchObject({ roles: ['operator'] })
  await access().revokeToken(long.id, 'test')
  expect(await access().byToken(long.token)).toBeUndefined()
})

test('a mistyped token is recognised without asking the store', () => {
  const token = newToken()
  expect(isToken(token)).toBe(true)
  const last = token.at(-1) === '0' ? '1' : '0'
  expect(isToken(token.slice(0, -1) + last)).toBe(false)
  expect(isToken(token.replace('godwit_pat_', 'godwit_dev_'))).toBe(false)
})

test('a login link works once, and a used or old one does not', async () => {
  const { secret } = await access().createLoginLink(['viewer'], 'test')
  const both = await Promise.all([access().useLoginLink(secret), access().useLoginLink(secret)])
  const [login] = both.filter((one) => one !== undefined)
  expect(both.filter((one) => one === undefined)).toHaveLength(1)
  expect(await access().bySession(login!.session)).toMatchObject({ roles: ['viewer'], kind: 'browser' })
  const old = await access().createLoginLink(['viewer'], 'test')
  box.time.now += box.config.access.loginLinkMs
  expect(await access().useLoginLink(old.secret)).toBeUndefined()
})

test('a session ends when it is over, or when the person logs out', async () => {
  const login = async () =>
    (await access().useLoginLink((await access().createLoginLink(['admin'], 'test')).secret))!.session
  const [first, second] = [await login(), await login()]
  await access().endSession(first)
  expect(await access().bySession(first)).toBeUndefined()
  box.time.now += box.config.access.sessionMs
  expect(await access().bySession(second)).toBeUndefined()
})

test('the store holds no secret that would open anything', async () => {
  const { token } = await access().createToken({ name: 'ci', roles: ['viewer'] }, 'test')
  const { secret } = await access().createLoginLink(['viewer'], 'test')
  const { db } = box.hub.services.database
  const all = await Promise.all([
    db.selectFrom('api_token').selectAll().execute(),
    db.selectFrom('login_link').selectAll().execute(),
    db.selectFrom('audit').selectAll().execute(),
    db.selectFrom('feed').selectAll().execute(),
  ])
  expect(JSON.stringify(all)).not.toContain(token)
  expect(JSON.stringify(all)).not.toContain(secret)
})

test('the first token of a hub ends by itself, and then the hub prints a link to make another', async () => {
  box.time.now += firstTokenMs - 1
  expect(await access().byToken(box.adminToken)).toMatchObject({ roles: ['admin'] })
  expect(await access().hasAdmin()).toBe(true)
  box.time.now += 1
  expect(await access().byToken(box.adminToken)).toBeUndefined()
  expect(await access().needsSetup()).toBe(true)
  await box.hub.start()
  const { setupLink } = box.hub.addresses
  box.time.now += box.config.access.loginLinkMs
  expect((await fetch(setupLink!, { redirect: 'manual' })).status).toBe(401)
})

test('a hub without an administrator prints a setup link, which makes one', async () => {
  for (const { id } of await access().tokens()) await access().revokeToken(id, 'test')
  expect(await access().hasAdmin()).toBe(false)
  await box.hub.start()
  const { setupLink } = box.hub.addresses
  const answer = await fetch(setupLink!, { redirect: 'manual' })
  expect(answer.status).toBe(303)
  expect(answer.headers.get('set-cookie')).toMatch(/^godwit_session=\w+; .*HttpOnly; SameSite=Strict/)
  expect(await access().hasAdmin()).toBe(true)
  expect((await fetch(setupLink!, { redirect: 'manual' })).status).toBe(401)
})
