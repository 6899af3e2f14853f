import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bundle, bundleOf, targetOf } from '../support/bundle.ts'
import { type Box, newHub, signedTargets } from '../support/new-hub.ts'

const kettle = bundleOf({ model: 'kettle-small' })
const lamp = bundleOf({ model: 'lamp' })

let box: Box
/** A token as a CI has one: it may publish kettles, and nothing else. */
let token: string
beforeEach(async () => {
  box = await newHub()
  const options = { name: 'ci', roles: ['publisher'] as const, scopes: ['publish:kettle-*'] }
  token = (await box.hub.services.access.createToken(options, 'test')).token
})
afterEach(() => box.close())

async function send(
  method: 'POST' | 'PUT' | 'DELETE',
  url: string,
  payload: object | Uint8Array,
  as = token,
) {
  const isBytes = payload instanceof Uint8Array
  const type = url.includes('/blobs/') ? 'application/octet-stream' : 'application/json'
  return box.hub.http.inject({
    ...{ method, url, payload: isBytes ? Buffer.from(payload) : payload },
    headers: { authorization: `Bearer ${as}`, 'content-type': type },
  })
}
const upload = async ({ files, bytes }: Bundle, as = token) => {
  for (const file of files) await send('PUT', `/api/v1/blobs/sha256/${sha256Hex(file)}`, file, as)
  return send('POST', '/api/v1/versions', bytes, as)
}
const list = (version: number, bundles: Bundle[], as = token) =>
  send(
    'PUT',
    '/api/v1/metadata/targets',
    signedTargets(version, Object.assign({}, ...bundles.map(targetOf))),
    as,
  )
const refused = { status: 403, reason: 'outside_scope' }

describe('a token that may publish kettle-* only', () => {
  test('brings a kettle all the way', async () => {
    expect((await send('POST', '/api/v1/models', { name: 'kettle-small' })).statusCode).toBe(201)
    expect((await upload(kettle)).statusCode).toBe(201)
    expect((await list(2, [kettle])).statusCode).toBe(200)
  })

  test('makes no other model, enters no version of one, and sets no alias', async () => {
    expect((await send('POST', '/api/v1/models', { name: 'lamp' })).json()).toMatchObject(refused)
    expect((await upload(lamp)).json()).toMatchObject(refused)
    const alias = { version: '1' }
    expect((await send('PUT', '/api/v1/models/lamp/aliases/best', alias)).json()).toMatchObject(refused)
    expect((await send('DELETE', '/api/v1/models/lamp/aliases/best', {})).json()).toMatchObject(refused)
  })

  test('hands in no list that adds, changes or drops another model, though its signatures are right', async () => {
    await upload(kettle)
    await upload(lamp, box.adminToken)
    expect((await list(2, [kettle, lamp])).json()).toMatchObject(refused)
    expect((await list(2, [lamp], box.adminToken)).statusCode).toBe(200)
    expect((await list(3, [kettle])).json()).toMatchObject(refused)
    expect((await list(3, [kettle, lamp])).statusCode).toBe(200)
  })

  test('enters no release whose model cannot be read', async () => {
    const twice = new TextEncoder().encode('{"model":"kettle-small","model":"lamp"}')
    expect((await send('POST', '/api/v1/versions', twice)).statusCode).toBe(403)
  })

  test('reads, and changes nothing else', async () => {
    const headers = { authorization: `Bearer ${token}` }
    expect((await box.hub.http.inject({ url: '/api/v1/devices', headers })).statusCode).toBe(200)
    expect((await send('POST', '/api/v1/join-tokens', {})).statusCode).toBe(403)
    expect((await send('POST', '/api/v1/tokens', { name: 'x', roles: ['viewer'] })).statusCode).toBe(403)
  })
})
