import {
  type Directive,
  defaultProbation,
  directive,
  type SlotGoal,
} from '@godwit/protocol/messages/directive'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { checkDirective } from '@godwit/protocol/trust/director'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub({ telemetry: { windowMs: 60_000 } })
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

const directives = () => box.hub.services.directives
const goal = (version: string): SlotGoal => ({
  ...{ model: 'm', version, releaseBytes: 10, probation: defaultProbation },
  releaseDigest: version.padStart(64, '0'),
})
const by = { who: 'test' }

async function read(deviceId: string): Promise<Directive> {
  const envelope = JSON.parse(new TextDecoder().decode(await directives().current(deviceId)))
  const checked = directive.check(envelope.signed)
  if (!checked.ok) throw new Error(checked.detail)
  return checked.value
}

test('a goal becomes a directive that the device believes, and no other device does', async () => {
  await directives().setGoal(['pump'], 'default', goal('1'), by)
  const bytes = (await directives().current('pump'))!
  const root = await box.hub.services.repository.root()
  const expected = { fleet: 'test-fleet', now: box.time.now }
  expect(checkDirective(bytes, root, { ...expected, deviceId: 'pump' })).toMatchObject({ trusted: true })
  expect(checkDirective(bytes, root, { ...expected, deviceId: 'valve' })).toMatchObject({
    because: 'wrong-device',
  })
  expect(await directives().current('valve')).toBeUndefined()
})

test('each change counts up, and the same goal again changes nothing', async () => {
  const told: string[] = []
  directives().onDirective((id) => told.push(id))
  expect(await directives().setGoal(['pump', 'valve'], 'default', goal('1'), by)).toEqual(
    new Map([
      ['pump', 1],
      ['valve', 1],
    ]),
  )
  expect(await directives().setGoal(['pump', 'valve'], 'default', goal('1'), by)).toEqual(
    new Map([
      ['pump', 1],
      ['valve', 1],
    ]),
  )
  expect(await directives().setGoal(['pump'], 'default', goal('2'), by)).toEqual(new Map([['pump', 2]]))
  expect(told).toEqual(['pump', 'valve', 'pump'])
})

test('slots do not disturb each other, and a goal taken away is gone', async () => {
  await directives().setGoal(['pump'], 'a', goal('1'), by)
  await directives().setGoal(['pump'], 'b', goal('2'), by)
  expect(Object.keys((await read('pump')).slots)).toEqual(['a', 'b'])
  await directives().removeGoal(['pump'], 'a', by)
  expect((await read('pump')).slots).toEqual({ b: goal('2') })
})

test('revoked and unknown devices get nothing', async () => {
  await box.hub.services.fleet.revoke('pump', 'test')
  expect(await directives().setGoal(['pump', 'nobody', 'valve'], 'default', goal('1'), by)).toEqual(
    new Map([['valve', 1]]),
  )
})

test('a forced goal stays forced until the device has answered it, and not longer', async () => {
  await directives().setGoal(['pump'], 'default', goal('1'), by)
  await directives().setGoal(['pump'], 'default', { ...goal('1'), force: true }, by)
  expect(await read('pump')).toMatchObject({ version: 2, slots: { default: { force: true } } })
  // The device was away; what it finds instead still says so.
  await directives().setGoal(['pump'], 'other', goal('9'), by)
  expect(await read('pump')).toMatchObject({ version: 3, slots: { default: { force: true } } })
  const slots = { default: { phase: 'idle', attempt: 0, answered: 3 } }
  const answer = {
    ...{
      _type: 'report',
      specVersion: 1,
      fleet: 'test-fleet',
      deviceId: 'pump',
      session: 's',
      reportVersion: 1,
    },
    ...{
      directiveVersion: 3,
      at: 0,
      slots,
      quarantine: [],
      free: { diskBytes: 0, memoryBytes: 0 },
      clock: { floor: 0 },
    },
  }
  await box.hub.services.fleet.acceptReport(
    'pump',
    encodeEnvelope(signDocument(answer, seedOf(8), keyOfSeed(seedOf(8)))),
  )
  await directives().setGoal(['pump'], 'other', goal('8'), by)
  expect((await read('pump')).slots['default']).toEqual(goal('1'))
})

test('the shortest window that somebody asked for is the one of the device', async () => {
  await directives().setGoal(['pump'], 'a', goal('1'), by)
  expect((await read('pump')).telemetry.windowMs).toBe(60_000)
  await directives().setGoal(['pump'], 'b', goal('1'), { ...by, windowMs: 5_000 })
  expect((await read('pump')).telemetry.windowMs).toBe(5_000)
})

test('a directive is signed again before a device would find it expired', async () => {
  await directives().setGoal(['pump'], 'default', goal('1'), by)
  const halfLifeMs = box.config.directive.expiresMs / 2
  expect(await directives().reissueExpiring(box.time.now + halfLifeMs - 1)).toBe(0)
  box.time.now += halfLifeMs + 1
  expect(await directives().reissueExpiring(box.time.now)).toBe(1)
  expect(await read('pump')).toMatchObject({ version: 2, slots: { default: goal('1') } })
  expect(await directives().reissueExpiring(box.time.now)).toBe(0)
})
