import { defaultProbation, type SlotGoal } from '@godwit/protocol/messages/directive'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import type { Report, SlotReport } from '@godwit/protocol/messages/report'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bundleOf, publish, targetOf } from '../support/bundle.ts'
import {
  type Box,
  joinRequest,
  newHub,
  rootDocument,
  seedOf,
  signedRoot,
  signedTargets,
  startOfTime,
} from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
  const { enrolment } = box.hub.services
  const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
  await enrolment.enrol(joinRequest(parseJoinToken(token)!.secret, seedOf(8), 'pump'))
})
afterEach(() => box.close())

const goal: SlotGoal = {
  ...{ model: 'm', version: '1', releaseBytes: 10, probation: defaultProbation },
  releaseDigest: '1'.padStart(64, '0'),
}
const setGoal = (force = false) =>
  box.hub.services.directives.setGoal(
    ['pump'],
    'default',
    { ...goal, ...(force && { force }) },
    { who: 'ana' },
  )
const entries = async (action: string) =>
  (await box.hub.services.audit.before(undefined, 200)).filter((entry) => entry.action === action).reverse()

let reportVersion = 0
function hears(slots: Record<string, Partial<SlotReport>>) {
  const report: Report = {
    ...{ _type: 'report', specVersion: 1, fleet: 'test-fleet', deviceId: 'pump', session: 's-1' },
    ...{ reportVersion: ++reportVersion, directiveVersion: 1, at: startOfTime, quarantine: [] },
    slots: Object.fromEntries(
      Object.entries(slots).map(([slot, change]) => [
        slot,
        { phase: 'idle', attempt: 0, answered: 0, ...change },
      ]),
    ),
    ...{ free: { diskBytes: 1, memoryBytes: 1 }, clock: { floor: 0 } },
  }
  const bytes = encodeEnvelope(signDocument(report, seedOf(8), keyOfSeed(seedOf(8))))
  return box.hub.services.fleet.acceptReport('pump', bytes)
}

test('a login and a logout', async () => {
  const { access } = box.hub.services
  const { secret } = await access.createLoginLink(['operator'], 'ana')
  const { session } = (await access.useLoginLink(secret))!
  await access.endSession(session)
  await access.endSession(session)
  const [started] = await entries('session.start')
  expect(await entries('session.link')).toMatchObject([{ who: 'ana', subject: 'operator' }])
  expect(await entries('session.end')).toMatchObject([{ who: started!.who, subject: started!.who }])
})

test('every directive, with the digest of what was signed, and the goal behind it', async () => {
  await setGoal()
  box.time.now += box.config.directive.expiresMs
  await box.hub.services.directives.reissueExpiring(box.time.now)
  expect(await entries('goal.set')).toMatchObject([{ who: 'ana', subject: 'pump' }])
  expect(await entries('directive.issue')).toMatchObject([
    { who: 'ana', subject: 'pump', detail: { version: 1, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } },
    { who: 'hub', subject: 'pump', detail: { version: 2 } },
  ])
})

test.each([
  ['committed', 'ok'],
  ['rolled_back', 'probation_crash'],
  ['refused', 'selftest_accuracy'],
] as const)('a deployment that the device reports as %s, once', async (phase, code) => {
  await setGoal()
  const target = { model: 'm', version: '1', releaseDigest: goal.releaseDigest }
  const ended = { phase, code, target, answered: 1 }
  await hears({ default: { phase: 'probation', target } })
  await hears({ default: ended })
  await hears({ default: ended })
  const detail = { slot: 'default', code, target, directive: 1, report: expect.any(String) }
  expect(await entries(`deployment.${phase}`)).toMatchObject([
    { who: 'device:pump', subject: 'pump', detail },
  ])
  await hears({ default: { ...ended, answered: 2 } })
  expect(await entries(`deployment.${phase}`)).toHaveLength(2)
})

test('a slot that nobody assigned cannot fill the record', async () => {
  await setGoal()
  await hears({ invented: { phase: 'refused', code: 'malformed', answered: 1 } })
  expect(await entries('deployment.refused')).toEqual([])
})

test('accepted targets and roots', async () => {
  const bundle = bundleOf()
  await publish(box.hub, bundle)
  const { repository, audit } = box.hub.services
  await repository.acceptTargets(signedTargets(2, targetOf(bundle)), 'ana')
  await repository.acceptRoot(signedRoot(rootDocument(box.hubKeys, { version: 2 })), 'bea')
  const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/)
  expect(await entries('targets.accept')).toMatchObject([
    { who: 'hub', subject: '1', detail: { sha256 } },
    { who: 'ana', subject: '2', detail: { sha256 } },
  ])
  expect(await entries('root.accept')).toMatchObject([
    { who: 'hub', subject: '1', detail: { sha256: sha256Hex(await repository.firstRoot()) } },
    { who: 'bea', subject: '2', detail: { sha256 } },
  ])
  expect(await audit.verifyChain()).toBeUndefined()
})
