import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const enrol = (request: ReturnType<typeof joinRequest>) => box.hub.services.enrolment.enrol(request)
async function secret(uses = 1, expiresInMs = 60_000): Promise<string> {
  const { token } = await box.hub.services.enrolment.createJoinToken(
    { labels: { site: 'a' }, uses, expiresInMs },
    'test',
  )
  return parseJoinToken(token)!.secret
}

test('a device joins with its token, and hears of the fleet and its root', async () => {
  const { token } = await box.hub.services.enrolment.createJoinToken(
    { labels: { site: 'a' }, uses: 1, expiresInMs: 60_000 },
    'test',
  )
  const ticket = parseJoinToken(token)!
  const verdict = await enrol(joinRequest(ticket.secret, seedOf(9), 'mote-1'))
  expect(verdict).toMatchObject({
    enrolled: true,
    created: true,
    answer: { fleet: 'test-fleet', deviceId: 'mote-1', labels: { site: 'a' } },
  })
  const { root } = (verdict as { answer: { root: string } }).answer
  expect(sha256Hex(Buffer.from(root, 'base64'))).toBe(ticket.rootSha256)
})

test('a device whose answer was lost joins again as the same, and uses nothing up', async () => {
  const token = await secret(1)
  await enrol(joinRequest(token, seedOf(9)))
  box.time.now += 3_600_000
  expect(await enrol(joinRequest(token, seedOf(9)))).toMatchObject({ enrolled: true, created: false })
  expect(await box.hub.services.fleet.devices()).toHaveLength(1)
  expect(await box.hub.services.enrolment.joinTokens()).toMatchObject([{ uses: 1 }])
})

test('of two devices with the last use of a token, one gets in', async () => {
  const token = await secret(1)
  const verdicts = await Promise.all([
    enrol(joinRequest(token, seedOf(8))),
    enrol(joinRequest(token, seedOf(9))),
  ])
  expect(verdicts.filter(({ enrolled }) => enrolled)).toHaveLength(1)
  expect(verdicts.find(({ enrolled }) => !enrolled)).toMatchObject({ because: 'used-token' })
})

test('an id that belongs to another key is refused', async () => {
  const token = await secret(2)
  await enrol(joinRequest(token, seedOf(8), 'pump'))
  expect(await enrol(joinRequest(token, seedOf(9), 'pump'))).toMatchObject({
    enrolled: false,
    because: 'id-taken',
  })
})

test('a key cannot take a second id', async () => {
  const token = await secret(2)
  await enrol(joinRequest(token, seedOf(8), 'pump'))
  expect(await enrol(joinRequest(token, seedOf(8), 'valve'))).toMatchObject({
    enrolled: false,
    because: 'id-taken',
  })
})

test('nobody enrols a key that is not theirs', async () => {
  const token = await secret()
  const stolen = { ...joinRequest(token, seedOf(8)), proof: joinRequest(token, seedOf(9)).proof }
  expect(await enrol(stolen)).toMatchObject({ enrolled: false, because: 'bad-proof' })
  const relabelled = { ...joinRequest(token, seedOf(8), 'pump'), deviceId: 'valve' }
  expect(await enrol(relabelled)).toMatchObject({ enrolled: false, because: 'bad-proof' })
})

test('a key of small order is no identity', async () => {
  const request = { token: await secret(), publicKey: '00'.repeat(32), proof: '00'.repeat(64) }
  expect(await enrol(request)).toMatchObject({ enrolled: false, because: 'bad-proof' })
})

test('an unknown, an expired and a revoked token let nobody in', async () => {
  const { enrolment } = box.hub.services
  expect(await enrol(joinRequest('x'.repeat(40), seedOf(8)))).toMatchObject({ because: 'unknown-token' })
  const expiring = await secret(1, 1_000)
  const revoked = await secret()
  for (const { id } of await enrolment.joinTokens()) await enrolment.revokeJoinToken(id, 'test')
  expect(await enrol(joinRequest(revoked, seedOf(8)))).toMatchObject({ because: 'expired-token' })
  box.time.now += 1_000
  expect(await enrol(joinRequest(expiring, seedOf(8)))).toMatchObject({ because: 'expired-token' })
})

test('a revoked device does not come back with its old key', async () => {
  const token = await secret(2)
  await enrol(joinRequest(token, seedOf(8), 'pump'))
  await box.hub.services.fleet.revoke('pump', 'test')
  expect(await enrol(joinRequest(token, seedOf(8), 'pump'))).toMatchObject({ because: 'revoked-device' })
})

test('the store never sees a join secret', async () => {
  const token = await secret()
  const rows = await box.hub.services.database.db.selectFrom('join_token').selectAll().execute()
  expect(JSON.stringify(rows)).not.toContain(token)
})
