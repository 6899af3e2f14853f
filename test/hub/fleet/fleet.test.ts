import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import type { Report } from '@godwit/protocol/messages/report'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf, startOfTime } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
  const { enrolment } = box.hub.services
  const { token } = await enrolment.createJoinToken({ labels: {}, uses: 2, expiresInMs: 60_000 }, 'test')
  for (const [id, seed] of [
    ['pump', seedOf(8)],
    ['valve', seedOf(9)],
  ] as const) {
    await enrolment.enrol(joinRequest(parseJoinToken(token)!.secret, seed, id))
  }
})
afterEach(() => box.close())

function report(change: Partial<Report> = {}, seed = seedOf(8)): Uint8Array {
  const document: Report = {
    _type: 'report',
    specVersion: 1,
    fleet: 'test-fleet',
    deviceId: 'pump',
    session: 's-1',
    reportVersion: 1,
    directiveVersion: 0,
    at: startOfTime,
    slots: { default: { phase: 'idle', attempt: 0, answered: 0 } },
    quarantine: [],
    free: { diskBytes: 1, memoryBytes: 1 },
    clock: { floor: 0 },
    ...change,
  }
  return encodeEnvelope(signDocument(document, seed, keyOfSeed(seed)))
}

test('a report that the device signed is kept and told', async () => {
  const { fleet } = box.hub.services
  const told: string[] = []
  fleet.onNews((id, news) => told.push(`${id} ${news}`))
  expect(await fleet.acceptReport('pump', report())).toMatchObject({ trusted: true })
  expect((await fleet.device('pump'))?.report).toMatchObject({ session: 's-1', reportVersion: 1 })
  expect(told).toEqual(['pump report'])
})

test('a report signed by another device is refused', async () => {
  const verdict = await box.hub.services.fleet.acceptReport('pump', report({}, seedOf(9)))
  expect(verdict).toMatchObject({ trusted: false, because: 'bad-signature' })
})

test('a report about another device or for another fleet is refused', async () => {
  const { fleet } = box.hub.services
  expect(await fleet.acceptReport('pump', report({ deviceId: 'valve' }))).toMatchObject({
    because: 'wrong-device',
  })
  expect(await fleet.acceptReport('pump', report({ fleet: 'other' }))).toMatchObject({
    because: 'wrong-fleet',
  })
})

test('an older report, delivered late, changes nothing', async () => {
  const { fleet } = box.hub.services
  await fleet.acceptReport('pump', report({ reportVersion: 5 }))
  expect(await fleet.acceptReport('pump', report({ reportVersion: 4 }))).toMatchObject({
    because: 'rollback',
  })
  expect(await fleet.acceptReport('pump', report({ reportVersion: 5 }))).toMatchObject({
    because: 'rollback',
  })
  expect((await fleet.device('pump'))?.report?.reportVersion).toBe(5)
})

test('garbage is refused with a reason', async () => {
  const { fleet } = box.hub.services
  expect(await fleet.acceptReport('pump', new Uint8Array([1, 2, 3]))).toMatchObject({ because: 'malformed' })
  expect(await fleet.acceptReport('pump', report({ slots: 3 as never }))).toMatchObject({
    because: 'malformed',
  })
  expect(await fleet.acceptReport('nobody', report())).toMatchObject({ because: 'absent' })
})

const claim = (deviceId: string, audience: string) => ({
  ...{ fleet: 'test-fleet', deviceId, audience },
  issuedAt: startOfTime,
  expiresAt: startOfTime + 600_000,
})

test('a device proves itself with its own token, for one purpose', async () => {
  const { fleet } = box.hub.services
  const token = mintDeviceToken(claim('pump', 'mqtt'), seedOf(8))
  expect(await fleet.authenticate('pump', token, 'mqtt')).toMatchObject({ trusted: true })
  expect(await fleet.authenticate('pump', token, 'http')).toMatchObject({ because: 'wrong-audience' })
  expect(await fleet.authenticate('valve', token, 'mqtt')).toMatchObject({ because: 'bad-signature' })
})

test('a revoked device is nobody any more', async () => {
  const { fleet } = box.hub.services
  await fleet.revoke('pump', 'test')
  const token = mintDeviceToken(claim('pump', 'mqtt'), seedOf(8))
  expect(await fleet.authenticate('pump', token, 'mqtt')).toMatchObject({ trusted: false })
  const online = { status: 'online', bootId: 'b', connection: 1, at: 0 } as const
  expect(await fleet.acceptState('pump', online)).toEqual({ changed: false })
})

test('a device that goes was last seen when it went, not when it came', async () => {
  const { fleet } = box.hub.services
  const state = { bootId: 'b', connection: 1, at: 0 }
  await fleet.acceptState('pump', { ...state, status: 'online' })
  box.time.now += 21 * 86_400_000
  await fleet.acceptState('pump', { ...state, status: 'offline' })
  expect((await fleet.device('pump'))?.lastSeenAt).toBe(box.time.now)
})

test('presence is told once, and a late will does not undo it', async () => {
  const { fleet } = box.hub.services
  const told: string[] = []
  fleet.onNews((_, news) => told.push(news))
  const state = (status: 'online' | 'offline', connection: number) => ({
    status,
    connection,
    bootId: 'b',
    at: 0,
  })
  await fleet.acceptState('pump', state('online', 1))
  await fleet.acceptState('pump', state('online', 2))
  await fleet.acceptState('pump', state('offline', 1))
  expect((await fleet.device('pump'))?.status).toBe('online')
  expect(told).toEqual(['status', 'status'])
})
