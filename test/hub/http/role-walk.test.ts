import { text } from 'node:stream/consumers'
import { type Role, roles } from '@godwit/hub/access/role'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

type Right = Role | 'open' | 'device'

/**
 * Who may call what, as a person would write it down, where it is not the rule: whoever may view reads, an operator
 * changes. `open`: nobody is asked. `device`: a device, or whoever may view.
 */
const exceptions: Record<Right, readonly string[]> = {
  open: [
    'GET /api/v1/version',
    'GET /api/v1/time',
    'GET /api/v1/limits',
    'GET /meta/{file}',
    'GET /api/v1/session/ways',
    'POST /api/v1/session',
    'POST /api/v1/session/invitation',
    'POST /api/v1/session/invitation/accept',
    'POST /api/v1/enrol',
  ],
  device: ['POST /api/v1/devices/{id}/rotate', 'POST /api/v1/devices/{id}/certificate'],
  // Their own sessions, tokens and password.
  viewer: [
    'DELETE /api/v1/session',
    'DELETE /api/v1/session/others',
    'DELETE /api/v1/session/others/{id}',
    'PUT /api/v1/session/password',
    'POST /api/v1/tokens',
    'DELETE /api/v1/tokens/{id}',
  ],
  // Labels and uses tell where a fleet grows; a directive is fetched to be carried to its device.
  operator: ['GET /api/v1/join-tokens', 'GET /api/v1/devices/{id}/directive'],
  publisher: [
    'POST /api/v1/models',
    'PUT /api/v1/models/{model}/aliases/{alias}',
    'DELETE /api/v1/models/{model}/aliases/{alias}',
    'PUT /api/v1/blobs/sha256/{hex}',
    'POST /api/v1/versions',
    'POST /api/v1/models/{model}/versions/{version}/signatures',
    'PUT /api/v1/metadata/targets',
    'PUT /api/v1/metadata/teams/{team}',
  ],
  approver: [
    'POST /api/v1/rollouts/{id}/approve',
    'POST /api/v1/rollouts/{id}/reject',
    'POST /api/v1/rollouts/{id}/withdraw',
  ],
  admin: [
    'POST /api/v1/session/link',
    'POST /api/v1/session/account',
    'POST /api/v1/users',
    'POST /api/v1/users/{name}/invite',
    'PUT /api/v1/users/{name}/roles',
    'POST /api/v1/users/{name}/logout',
    'POST /api/v1/users/{name}/disable',
    'POST /api/v1/users/{name}/enable',
    'PUT /api/v1/metadata/root',
  ],
}

let box: Box
let operations: [method: string, path: string][]
/** Each role with a token of it, and nobody. */
let tokens: [role: string, authorization: string | undefined][]
beforeAll(async () => {
  box = await newHub()
  const { access } = box.hub.services
  tokens = [['open', undefined]]
  for (const role of roles) {
    const { token } = await access.createToken({ name: role, roles: [role] }, 'test')
    tokens.push([role, `Bearer ${token}`])
  }
  const document = (await box.hub.http.inject({ url: '/api/v1/openapi.json' })).json()
  operations = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method): [string, string] => [method.toUpperCase(), path]),
  )
})
afterAll(() => box.close())

/** Found by trying: the roles that are not refused for want of one. */
async function whoMay(method: string, path: string): Promise<string[]> {
  const url = path.replaceAll(/\{\w+\}/g, 'x')
  const may: string[] = []
  for (const [role, authorization] of tokens) {
    const headers = authorization === undefined ? {} : { authorization }
    // As a stream, because live events never end.
    const answer = await box.hub.http.inject({ method: method as 'GET', url, headers, payloadAsStream: true })
    const body = answer.statusCode === 403 ? await text(answer.stream()) : ''
    answer.stream().destroy()
    if (answer.statusCode !== 401 && !body.includes('needs the role')) may.push(role)
  }
  return may
}

const meaning: Record<Right, readonly string[]> = {
  open: ['open', ...roles],
  device: roles,
  viewer: roles,
  operator: ['operator', 'admin'],
  publisher: ['publisher', 'admin'],
  approver: ['approver', 'admin'],
  admin: ['admin'],
}
test('every operation may be called by whom it is meant for, and by nobody else', async () => {
  const rights = new Map(
    Object.entries(exceptions).flatMap(([right, routes]) => routes.map((route) => [route, right as Right])),
  )
  for (const [method, path] of operations) {
    const right = rights.get(`${method} ${path}`) ?? (method === 'GET' ? 'viewer' : 'operator')
    expect([method, path, await whoMay(method, path)]).toEqual([method, path, meaning[right]])
  }
})

test('no exception is about an operation that is gone', () => {
  const known = new Set(operations.map((operation) => operation.join(' ')))
  expect(
    Object.values(exceptions)
      .flat()
      .filter((route) => !known.has(route)),
  ).toEqual([])
})
