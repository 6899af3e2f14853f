import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bundleOf, publish, targetOf } from '../support/bundle.ts'
import { type Box, joinRequest, newHub, seedOf, signedTargets } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

type Ask = {
  method?: string
  url: string
  headers?: Record<string, string>
  payload?: unknown
  token?: string
}
async function ask({ method = 'GET', url, headers = {}, payload, token = box.adminToken }: Ask) {
  const authorization = token === '' ? {} : { authorization: `Bearer ${token}` }
  return box.hub.http.inject({
    ...{ method: method as 'GET', url, headers: { ...authorization, ...headers } },
    ...(payload !== undefined && { payload: payload as object }),
  })
}
const tokenOf = async (role: 'viewer' | 'operator' | 'publisher') =>
  (await box.hub.services.access.createToken({ name: role, roles: [role] }, 'test')).token

describe('who may do what', () => {
  test('the page and its files come without a session, on every address that is the page’s', async () => {
    const page = await ask({ url: '/', token: '' })
    expect(page.statusCode).toBe(200)
    const script = /src="(\/assets\/[^"]+)"/.exec(page.body)?.[1]
    for (const url of [script!, '/favicon.svg'])
      expect((await ask({ url, token: '' })).statusCode, url).toBe(200)
    const deep = await ask({ url: '/devices/mote-1', token: '', headers: { accept: 'text/html' } })
    expect([deep.statusCode, deep.body]).toEqual([200, page.body])
    expect(
      (await ask({ url: '/api/v1/nothing', token: '', headers: { accept: 'text/html' } })).statusCode,
    ).toBe(401)
  })

  test('without a token only what is open answers', async () => {
    for (const url of [
      '/livez',
      '/readyz',
      '/metrics',
      '/api/v1/version',
      '/api/v1/time',
      '/meta/timestamp.json',
    ]) {
      expect((await ask({ url, token: '' })).statusCode, url).toBe(200)
    }
    const paths = Object.entries((await ask({ url: '/api/v1/openapi.json', token: '' })).json().paths)
    const openOnes = new Set([
      '/api/v1/version',
      '/api/v1/time',
      '/api/v1/limits',
      '/api/v1/enrol',
      '/api/v1/session/ways',
      '/api/v1/session/invitation',
      '/api/v1/session/invitation/accept',
      '/meta/{file}',
    ])
    const isLogin = (path: string, method: string) => path === '/api/v1/session' && method === 'post'
    for (const [path, operations] of paths) {
      if (openOnes.has(path)) continue
      for (const method of Object.keys(operations as object)) {
        if (isLogin(path, method)) continue
        const url = path.replaceAll(/\{\w+\}/g, 'x')
        const answer = await ask({ method: method.toUpperCase(), url, token: '' })
        expect([url, method, answer.statusCode]).toEqual([url, method, 401])
        expect(answer.headers['www-authenticate']).toBe('Bearer')
      }
    }
  })

  test('each role may do its own, and not what another may', async () => {
    const create = { method: 'POST', url: '/api/v1/models', payload: { name: 'm' } }
    const join = { method: 'POST', url: '/api/v1/join-tokens', payload: {} }
    const mint = { method: 'POST', url: '/api/v1/tokens', payload: { name: 'x', roles: ['admin'] } }
    const [viewer, operator, publisher] = [
      await tokenOf('viewer'),
      await tokenOf('operator'),
      await tokenOf('publisher'),
    ]
    const status = async (token: string, what: Ask) => (await ask({ ...what, token })).statusCode
    expect(await status(viewer, { url: '/api/v1/devices' })).toBe(200)
    expect(await status(viewer, join)).toBe(403)
    expect(await status(operator, join)).toBe(201)
    expect(await status(operator, create)).toBe(403)
    expect(await status(publisher, create)).toBe(201)
    expect(await status(publisher, join)).toBe(403)
    expect(await status(publisher, mint)).toBe(403)
    expect(await status(box.adminToken, mint)).toBe(201)
  })

  test('a cookie reads, and writes only with the header that another site cannot send', async () => {
    const link = await ask({ method: 'POST', url: '/api/v1/session/link', payload: {} })
    const { pathname, search } = new URL(link.json().url, 'http://hub')
    const login = await ask({ url: pathname + search, token: '' })
    expect(login.statusCode).toBe(303)
    const cookie = `${login.cookies[0]!.name}=${login.cookies[0]!.value}`
    const withCookie = (what: Ask) => ask({ ...what, token: '', headers: { ...what.headers, cookie } })
    expect((await withCookie({ url: '/api/v1/session' })).json()).toMatchObject({ roles: ['admin'] })
    const write = { method: 'POST', url: '/api/v1/models', payload: { name: 'm' } }
    expect((await withCookie(write)).statusCode).toBe(403)
    const forged = { 'x-godwit-csrf': '1', origin: 'https://elsewhere.example' }
    expect((await withCookie({ ...write, headers: forged })).json()).toMatchObject({ reason: 'csrf' })
    expect((await withCookie({ ...write, headers: { 'x-godwit-csrf': '1' } })).statusCode).toBe(201)
    await withCookie({ method: 'DELETE', url: '/api/v1/session', headers: { 'x-godwit-csrf': '1' } })
    expect((await withCookie({ url: '/api/v1/session' })).statusCode).toBe(401)
  })

  test('guessing login links is slowed down', async () => {
    const guesses = Array.from({ length: 40 }, () => ask({ url: `/login?link=${'0'.repeat(40)}`, token: '' }))
    const codes = (await Promise.all(guesses)).map(({ statusCode }) => statusCode)
    expect(codes).toContain(429)
    expect(codes).not.toContain(303)
  })
})

describe('what bad requests get', () => {
  test('every mistake of a body, each with its place', async () => {
    const answer = await ask({
      method: 'POST',
      url: '/api/v1/tokens',
      payload: { name: '', roles: ['king'] },
    })
    expect(answer.statusCode).toBe(422)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({
      ...{ type: '/problems/validation', status: 422, detail: '2 fields are wrong.' },
      errors: [{ pointer: '#/name' }, { pointer: '#/roles/0' }],
      request_id: answer.headers['x-request-id'],
    })
  })

  test.each<[string, Ask, number, string]>([
    [
      'no JSON',
      {
        method: 'POST',
        url: '/api/v1/models',
        payload: '{',
        headers: { 'content-type': 'application/json' },
      },
      400,
      'malformed-json',
    ],
    [
      'a prototype in JSON',
      {
        method: 'POST',
        url: '/api/v1/models',
        payload: '{"name":"m","__proto__":{}}',
        headers: { 'content-type': 'application/json' },
      },
      400,
      'malformed-json',
    ],
    [
      'another content type',
      { method: 'POST', url: '/api/v1/models', payload: 'x', headers: { 'content-type': 'text/csv' } },
      415,
      'unsupported-media-type',
    ],
    [
      'a body beyond the limit',
      { method: 'POST', url: '/api/v1/models', payload: { name: 'm', description: 'x'.repeat(2 ** 21) } },
      413,
      'payload-too-large',
    ],
    ['an unknown device', { url: '/api/v1/devices/nobody' }, 404, 'not-found'],
    ['an unknown address', { url: '/api/v1/nothing' }, 404, 'not-found'],
    ['a cursor that is none', { url: '/api/v1/devices?cursor=%C3%A4' }, 422, 'validation'],
    ['a cursor of another list', { url: '/api/v1/audit?cursor=bW90ZS0x' }, 422, 'validation'],
    ['a limit beyond the limit', { url: '/api/v1/devices?limit=100000' }, 422, 'validation'],
    ['a selector that is none', { url: '/api/v1/devices?select=%3D%3D' }, 422, 'validation'],
  ])('%s', async (_, request, status, slug) => {
    const answer = await ask(request)
    expect([answer.statusCode, answer.json().type]).toEqual([status, `/problems/${slug}`])
  })

  test('a failure inside tells nothing of the inside', async () => {
    await box.hub.services.database.db.schema.dropTable('model').execute()
    const answer = await ask({ url: '/api/v1/models' })
    expect(answer.statusCode).toBe(500)
    expect(answer.body).not.toContain('model"')
    expect(answer.json()).toMatchObject({ type: '/problems/internal', detail: 'The hub could not do it.' })
  })

  test('the page of each problem is there, offline', async () => {
    expect((await ask({ url: '/problems/validation', token: '' })).body).toContain('422')
    expect((await ask({ url: '/problems/constructor', token: '' })).statusCode).toBe(404)
  })
})

describe('publishing over HTTP', () => {
  const bundle = bundleOf()
  const octets = { 'content-type': 'application/octet-stream' }
  const document = { 'content-type': 'application/json' }
  const put = (bytes: Uint8Array, hex = sha256Hex(bytes)) =>
    ask({ method: 'PUT', url: `/api/v1/blobs/sha256/${hex}`, headers: octets, payload: Buffer.from(bytes) })
  const raw = (method: string, url: string, bytes: Uint8Array) =>
    ask({ method, url, headers: document, payload: Buffer.from(bytes) })

  test('files, release and targets come in, and the model page shows them', async () => {
    for (const file of bundle.files) expect((await put(file)).statusCode).toBe(201)
    expect((await put(bundle.files[0]!)).statusCode).toBe(200)
    const version = await raw('POST', '/api/v1/versions', bundle.bytes)
    expect([version.statusCode, version.json()]).toMatchObject([
      201,
      { model: 'identity', version: '1', listed: false },
    ])
    const before = await ask({ url: '/api/v1/metadata/targets' })
    expect(before.json().signed.version).toBe(1)
    expect((await raw('PUT', '/api/v1/metadata/targets', signedTargets(2, targetOf(bundle)))).json()).toEqual(
      { version: 2 },
    )
    const model = (await ask({ url: '/api/v1/models/identity' })).json()
    expect(model).toMatchObject({ name: 'identity', aliases: {}, versions: [{ version: '1', listed: true }] })
    const page = (await ask({ url: '/api/v1/models/identity/versions/1' })).json()
    expect(page).toMatchObject({ listed: true, devices: [], release: { golden: 'golden.json' } })
  })

  test('the same next targets twice are a conflict, a stranger is not trusted', async () => {
    await raw('PUT', '/api/v1/metadata/targets', signedTargets(2))
    const late = await raw('PUT', '/api/v1/metadata/targets', signedTargets(2))
    expect([late.statusCode, late.json().reason]).toEqual([409, 'version_mismatch'])
    const strange = await raw('PUT', '/api/v1/metadata/targets', signedTargets(3, {}, { seed: seedOf(66) }))
    expect([strange.statusCode, strange.json()]).toMatchObject([
      422,
      { type: '/problems/signature-invalid', reason: 'bad_signature' },
    ])
  })

  test('a release with mistakes is refused with all of them', async () => {
    const answer = await raw('POST', '/api/v1/versions', bundle.bytes)
    expect(answer.statusCode).toBe(422)
    expect(answer.json().errors).toHaveLength(3)
    expect(answer.json().errors[0]).toMatchObject({ pointer: '#/files/model.onnx' })
  })

  test('a file that is not its digest is refused', async () => {
    const answer = await put(bundle.files[0]!, '0'.repeat(64))
    expect([answer.statusCode, answer.json().type]).toEqual([422, '/problems/digest-mismatch'])
  })

  test('a file comes back whole, in part, and not at all when it is known', async () => {
    const [bytes] = bundle.files
    await put(bytes!)
    const url = `/blobs/sha256/${sha256Hex(bytes!)}`
    const whole = await ask({ url })
    expect(whole.rawPayload.equals(bytes!)).toBe(true)
    expect(whole.headers).toMatchObject({ 'accept-ranges': 'bytes', 'content-length': `${bytes!.length}` })
    const etag = whole.headers.etag as string
    const part = await ask({ url, headers: { range: 'bytes=10-19', 'if-range': etag } })
    expect([part.statusCode, part.headers['content-range']]).toEqual([206, `bytes 10-19/${bytes!.length}`])
    expect(part.rawPayload.equals(bytes!.subarray(10, 20))).toBe(true)
    const tail = await ask({ url, headers: { range: 'bytes=-4' } })
    expect(tail.rawPayload.equals(bytes!.subarray(-4))).toBe(true)
    expect((await ask({ url, headers: { range: 'bytes=10-19', 'if-range': '"old"' } })).statusCode).toBe(200)
    expect((await ask({ url, headers: { range: `bytes=${bytes!.length}-` } })).statusCode).toBe(416)
    expect((await ask({ url, headers: { 'if-none-match': etag } })).statusCode).toBe(304)
    const head = await ask({ method: 'HEAD', url })
    expect([head.statusCode, head.headers['content-length'], head.body]).toEqual([
      200,
      `${bytes!.length}`,
      '',
    ])
    expect((await ask({ method: 'HEAD', url: `/blobs/sha256/${'0'.repeat(64)}` })).statusCode).toBe(404)
  })
})

describe('a device over HTTP', () => {
  async function enrolled(id: string, seed: Uint8Array) {
    const made = await ask({ method: 'POST', url: '/api/v1/join-tokens', payload: { labels: { site: 'a' } } })
    const { secret } = parseJoinToken(made.json().token)!
    const request = joinRequest(secret, seed, id)
    return ask({ method: 'POST', url: '/api/v1/enrol', token: '', payload: request })
  }

  test('joins, is seen, and reads blobs with its own token', async () => {
    const answer = await enrolled('pump', seedOf(8))
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { deviceId: 'pump', labels: { site: 'a' } },
    ])
    expect((await ask({ url: '/api/v1/devices/pump' })).json()).toMatchObject({
      id: 'pump',
      status: 'offline',
      goals: {},
    })
    const bundle = bundleOf()
    await publish(box.hub, bundle)
    const url = `/blobs/sha256/${sha256Hex(bundle.bytes)}`
    const claim = {
      fleet: 'test-fleet',
      deviceId: 'pump',
      issuedAt: box.time.now,
      expiresAt: box.time.now + 60_000,
    }
    const headers = { 'x-godwit-device': 'pump' }
    const http = mintDeviceToken({ ...claim, audience: 'http' }, seedOf(8))
    expect((await ask({ url, headers, token: http })).statusCode).toBe(200)
    expect((await ask({ url, headers: { 'x-godwit-device': 'valve' }, token: http })).statusCode).toBe(401)
    const mqtt = mintDeviceToken({ ...claim, audience: 'mqtt' }, seedOf(8))
    expect((await ask({ url, headers, token: mqtt })).statusCode).toBe(401)
    // Its token opens blobs, and nothing that people use.
    expect((await ask({ url: '/api/v1/devices', headers, token: http })).statusCode).toBe(401)
  })

  test('gets a goal only for a version that the publishers have signed for', async () => {
    await enrolled('pump', seedOf(8))
    const bundle = bundleOf()
    await publish(box.hub, bundle)
    const wish = {
      method: 'PUT',
      url: '/api/v1/devices/pump/goals/default',
      payload: { model: 'identity', version: '1' },
    }
    expect((await ask(wish)).statusCode).toBe(409)
    await box.hub.services.repository.acceptTargets(signedTargets(2, targetOf(bundle)), 'test')
    expect((await ask(wish)).json()).toEqual({ deviceId: 'pump', slot: 'default', directiveVersion: 1 })
    expect((await ask({ url: '/api/v1/devices/pump' })).json().goals.default).toMatchObject({ version: '1' })
    expect((await ask({ ...wish, payload: { model: 'identity', version: '2' } })).statusCode).toBe(404)
  })

  test('is found by its labels, and the list goes on behind the cursor', async () => {
    for (const [i, id] of ['a', 'b', 'c'].entries()) await enrolled(id, seedOf(20 + i))
    await ask({ method: 'PATCH', url: '/api/v1/devices/b', payload: { labels: { site: 'b' } } })
    const first = (await ask({ url: '/api/v1/devices?limit=2' })).json()
    expect(first.items.map(({ id }: { id: string }) => id)).toEqual(['a', 'b'])
    const second = (await ask({ url: `/api/v1/devices?limit=2&cursor=${first.nextCursor}` })).json()
    expect([second.items.length, second.nextCursor]).toEqual([1, undefined])
    const chosen = (await ask({ url: '/api/v1/devices?select=site%3Da' })).json()
    expect(chosen.items.map(({ id }: { id: string }) => id)).toEqual(['a', 'c'])
  })

  test('that is revoked stays on record and cannot join again', async () => {
    await enrolled('pump', seedOf(8))
    await ask({ method: 'POST', url: '/api/v1/devices/pump/revoke' })
    expect((await ask({ url: '/api/v1/devices/pump' })).json()).toHaveProperty('revokedAt')
    expect((await enrolled('pump', seedOf(8))).statusCode).toBe(403)
  })
})

test('the page may load nothing from elsewhere, and sits in no frame', async () => {
  const policy = (await ask({ url: '/livez', token: '' })).headers['content-security-policy'] as string
  expect(policy).toContain("default-src 'self'")
  expect(policy).toContain("frame-ancestors 'none'")
  expect(policy).not.toContain('unsafe')
})

test('the description of the API is OpenAPI 3.1, and every operation has a name of its own', async () => {
  const description = (await ask({ url: '/api/v1/openapi.json' })).json()
  expect(description.openapi).toBe('3.1.0')
  const operations = Object.values<Record<string, { operationId?: string }>>(description.paths).flatMap(
    (path) => Object.values(path),
  )
  const ids = operations.map(({ operationId }) => operationId)
  expect(ids).not.toContain(undefined)
  expect(new Set(ids).size).toBe(ids.length)
})

test('what people do is on record, newest first', async () => {
  await ask({ method: 'POST', url: '/api/v1/models', payload: { name: 'm' } })
  const { items } = (await ask({ url: '/api/v1/audit?limit=1' })).json()
  expect(items).toMatchObject([
    { action: 'model.create', subject: 'm', who: expect.stringMatching(/^first \(token [0-9a-f]{6}\)$/) },
  ])
  expect((await ask({ url: '/api/v1/audit/verify' })).json()).toEqual({ intact: true })
})
