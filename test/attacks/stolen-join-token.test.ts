import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf } from '../hub/support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
})
afterEach(() => box.close())

async function secretOf(): Promise<string> {
  const { enrolment } = box.hub.services
  const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
  return parseJoinToken(token)!.secret
}

async function join(request: object): Promise<{ status: number; reason: unknown }> {
  const answer = await box.hub.http.inject({ method: 'POST', url: '/api/v1/enrol', payload: request })
  return { status: answer.statusCode, reason: answer.json().reason }
}

const devices = async () => (await box.hub.services.fleet.devices({})).map(({ id }) => id)

test('that names a device lets no other name in', async () => {
  const { enrolment } = box.hub.services
  const options = { labels: {}, uses: 1, expiresInMs: 60_000, deviceId: 'cam' }
  const { secret } = parseJoinToken((await enrolment.createJoinToken(options, 'test')).token)!
  expect(await join(joinRequest(secret, seedOf(99), 'thief'))).toEqual({ status: 403, reason: 'other_name' })
  expect(await join(joinRequest(secret, seedOf(11), 'cam'))).toMatchObject({ status: 200 })
  expect(await devices()).toEqual(['cam'])
})

test('that was used lets nobody else in', async () => {
  const secret = await secretOf()
  expect(await join(joinRequest(secret, seedOf(11), 'cam'))).toMatchObject({ status: 200 })
  expect(await join(joinRequest(secret, seedOf(99), 'thief'))).toEqual({ status: 401, reason: 'used_token' })
  expect(await devices()).toEqual(['cam'])
})

test('that has expired lets nobody in', async () => {
  const secret = await secretOf()
  box.time.now += 60_001
  expect(await join(joinRequest(secret, seedOf(99)))).toEqual({ status: 401, reason: 'expired_token' })
  expect(await devices()).toEqual([])
})

test('that was forged or is one character off lets nobody in', async () => {
  const secret = await secretOf()
  const last = secret.at(-1) === 'A' ? 'B' : 'A'
  for (const forged of [secret.slice(0, -1) + last, secret.slice(0, -1), 'x'.repeat(secret.length)]) {
    expect(await join(joinRequest(forged, seedOf(99)))).toEqual({ status: 401, reason: 'unknown_token' })
  }
  expect(await devices()).toEqual([])
})

test('heard on the wire cannot be turned to another key or another name', async () => {
  const heard = joinRequest(await secretOf(), seedOf(11), 'cam')
  const thief = joinRequest('x', seedOf(99), 'thief')
  for (const changed of [
    { ...heard, publicKey: thief.publicKey },
    { ...heard, deviceId: 'thief' },
    { ...heard, proof: thief.proof },
  ])
    expect(await join(changed)).toEqual({ status: 422, reason: 'bad_proof' })
  expect(await join(heard)).toMatchObject({ status: 200 })
})

test('a malformed request is refused with its mistakes, and the hub lives on', async () => {
  for (const request of [{}, { token: 1 }, { token: 'x', publicKey: '00', proof: '../../etc' }, []])
    expect((await join(request)).status).toBe(422)
  expect((await box.hub.http.inject('/readyz')).statusCode).toBe(200)
})
