import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { pathsIn } from '@godwit/agent/control/paths'
import { Trust } from '@godwit/agent/control/trust/trust'
import type { Hub } from '@godwit/hub/wiring'
import { defaultProbation } from '@godwit/protocol/messages/directive'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { topics } from '@godwit/protocol/topics'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { identityFiles } from '../../support/identity-bundle.ts'
import { joinRequest, seedOf } from '../support/new-hub.ts'
import { Desk, type Person, signerScript } from './ceremony-desk.ts'

/*
 * One fleet's trust from its first day on, in the order in which it happens; each test begins where the last one ended.
 * Root is 2 of 3 with one key in an "HSM", targets 2 of 2. All by the command line, the devices with the agent's code.
 */

const desk = new Desk(mkdtempSync(join(tmpdir(), 'godwit-ceremony-')))
const fleet = 'workshop'
const state = desk.file('hub')
const hsmSeed = '0c'.repeat(32)
const hsm = `${process.execPath} ${desk.write('hsm.mjs', signerScript(hsmSeed))}`
let ana: Person
let ben: Person
let pia: Person
let quin: Person
let hub: Hub
let sleeper: Trust
let release: { releaseDigest: string; bytes: number }

beforeAll(async () => {
  ana = await desk.person('ana', 1)
  ben = await desk.person('ben', 2)
  pia = await desk.person('pia', 3)
  quin = await desk.person('quin', 4)
})
afterAll(async () => {
  await desk.stopHub()
  rmSync(desk.directory, { recursive: true, force: true })
})

/** A device of this fleet that hears what the hub retains over MQTT, and has no HTTP. */
async function device(name: string) {
  const root = await hub.services.repository.firstRoot()
  const clock = { wallMs: Date.now, monotonicMs: () => performance.now() }
  const time = new TrustedTime(clock, 0, () => {})
  return new Trust({
    paths: pathsIn(desk.file(name)),
    names: { fleet, deviceId: name },
    time,
    pinnedRoot: root,
  })
}

/** What a broker sends at a new connection. */
async function connect(trust: Trust) {
  trust.forgetHeard()
  for (const { role, version, bytes } of await hub.services.repository.current())
    trust.heard(topics.meta(fleet, role, version), bytes)
  return trust.refresh()
}

const find = (trust: Trust, version = 'v1') =>
  trust.findRelease('gauge', version, release.releaseDigest, release.bytes)
const listed = async (version: string) =>
  (await desk.godwit<{ version: string; listed: boolean }[]>('version', 'list', 'gauge')).find(
    (one) => one.version === version,
  )?.listed

test('root and targets are made and signed without a hub, and a hub begins with them', async () => {
  const hubKeys = desk.file('hub-public.json')
  await desk.godwit('hub', 'keys', '--state', state, '--out', hubKeys)
  const carl = desk.write(
    'carl.pub.json',
    JSON.stringify(await desk.godwit('key', 'public', '--signer-cmd', hsm)),
  )
  const root = desk.file('root.json')
  const targets = desk.file('targets.json')
  await desk.godwit(
    ...['trust', 'init', '--root-key', ana.pub, ben.pub, '--root-key', carl, '--root-threshold', '2'],
    ...['--targets-key', pia.pub, quin.pub, '--targets-threshold', '2', '--hub-keys', hubKeys],
    ...['--out', root, '--targets-out', targets],
  )
  await desk.godwit('sign', root, '--signer-cmd', hsm, '--out', desk.file('carl.sig.json'))
  const one = ['trust', 'assemble', root, '--signature', desk.file('carl.sig.json')]
  expect(await desk.refused(...one, '--out', desk.file('too-few.json'))).toMatchObject({
    code: 'threshold_not_met',
    message: expect.stringContaining('expected 2 valid signatures, found 1'),
  })
  const partial = desk.file('root.partial.json')
  await desk.godwit(...one, '--partial', '--out', partial)
  const signedRoot = await desk.signedBy(partial, [ana])
  const signedTargets = await desk.signedBy(targets, [pia, quin], '--root', signedRoot)

  const beginning = ['hub', 'init', '--fleet', fleet, '--state', state, '--targets', signedTargets]
  expect(await desk.refused(...beginning, '--root', partial)).toMatchObject({ code: 'bad-trust' })
  await desk.godwit(...beginning, '--root', signedRoot)
  expect(existsSync(join(state, 'hub-keys.next.json'))).toBe(false)
  hub = await desk.startHub(state, fleet)
  sleeper = await device('sleeper')
  expect(await connect(sleeper)).toMatchObject({ trusted: true })
})

test('one of two publishers cannot release alone, and hears so before anything is uploaded', async () => {
  await desk.godwit('model', 'create', 'gauge')
  const bundle = desk.bundle('v1', identityFiles)
  const alone = await desk.refused('version', 'publish', bundle, 'gauge@v1', '--key', pia.key)
  expect(alone).toMatchObject({
    code: 'threshold_not_met',
    message: expect.stringContaining('targets needs 2 signatures'),
  })
  expect(await listed('v1')).toBeUndefined()
})

test('a release is prepared here, signed on two other machines, and brought back', async () => {
  const next = desk.file('targets-2.json')
  await desk.godwit('trust', 'fetch', 'targets', '--out', desk.file('targets-1.json'))
  const made = await desk.godwit<{ releaseDigest: string }>(
    ...['version', 'publish', desk.file('v1'), 'gauge@v1', '--prepare', next, '--max-staleness-days', '60'],
    ...['--root', desk.file('root.partial.json.signed.json')],
  )
  const found = await hub.services.registry.version('gauge', 'v1')
  release = { releaseDigest: made.releaseDigest, bytes: found!.releaseBytes }
  expect(await listed('v1')).toBe(false)
  const shown = await desk.try(
    ...['sign', next, '--previous', desk.file('targets-1.json'), '--key', pia.key],
    ...['--out', desk.file('pia-2.sig.json')],
  )
  expect(shown.stderr).toContain('targets 2, valid until')
  expect(shown.stderr).toContain(`+ release gauge/v1: ${made.releaseDigest}`)
  expect(shown.stderr).toContain('installable 60 days after metadata has expired')
  await desk.godwit('trust', 'push', await desk.signedBy(next, [pia, quin]))
  expect(await listed('v1')).toBe(true)
  await connect(sleeper)
  expect(await find(sleeper)).toMatchObject({ trusted: true })
})

test('signing says what is signed, and refuses a --previous that is not the one before', async () => {
  const wrong = await desk.refused(
    ...['sign', desk.file('targets-2.json'), '--previous', desk.file('targets-2.json')],
    ...['--key', pia.key, '--out', desk.file('wrong.sig.json')],
  )
  expect(wrong).toMatchObject({
    code: 'previous_mismatch',
    message: expect.stringContaining('expected version 1'),
  })
})

test('a signature over another document, by a stranger, or altered does not get in', async () => {
  const document = desk.file('targets-2.json')
  const assemble = (signature: string) =>
    desk.refused('trust', 'assemble', document, '--signature', signature, '--out', desk.file('never.json'))
  expect(await assemble(desk.file('carl.sig.json'))).toMatchObject({ code: 'signature_for_other' })
  const good = desk.json<{ signatures: { keyid: string; sig: string }[] }>('pia-2.sig.json')
  const { keyid, sig } = good.signatures[0]!
  const withSignature = (one: { keyid: string; sig: string }) =>
    desk.write('bent.sig.json', JSON.stringify({ ...good, signatures: [one] }))
  expect(
    await assemble(withSignature({ keyid, sig: `${sig.startsWith('0') ? 1 : 0}${sig.slice(1)}` })),
  ).toMatchObject({
    code: 'signature_invalid',
  })
  expect(await assemble(withSignature({ keyid: ana.keyid, sig }))).toMatchObject({ code: 'signer_unknown' })
  expect(existsSync(desk.file('never.json'))).toBe(false)
})

test('a root by the new keys alone is refused, by the command line and by the hub', async () => {
  const dave = await desk.person('dave', 5)
  const root = desk.file('root-2.json')
  await desk.godwit(
    ...['trust', 'rotate', '--add-root-key', dave.pub, '--remove-root-key', ana.keyid.slice(0, 12)],
    ...['--root-threshold', '1', '--out', root],
  )
  await desk.godwit('sign', root, '--key', dave.key, '--out', desk.file('dave.sig.json'))
  const assemble = ['trust', 'assemble', root, '--signature', desk.file('dave.sig.json')]
  expect(await desk.refused(...assemble, '--out', desk.file('x.json'))).toMatchObject({
    code: 'threshold_not_met',
    message: expect.stringContaining('the keys of root 1'),
  })
  await desk.godwit(...assemble, '--partial', '--out', desk.file('usurper.json'))
  expect(await desk.refused('trust', 'push', desk.file('usurper.json'))).toMatchObject({
    code: 'signature-invalid',
  })
})

test('a fleet that slept through three root rotations and a publisher revocation comes back by itself', async () => {
  const dave: Person = {
    ...ana,
    name: 'dave',
    key: desk.file('keys/dave.key.json'),
    pub: desk.file('dave.pub.json'),
  }
  const rita = await desk.person('rita', 6)
  const rotate = async (name: string, people: Person[], ...change: string[]) => {
    const root = desk.file(name)
    await desk.godwit('trust', 'rotate', ...change, '--out', root)
    const signed = await desk.signedBy(root, people)
    return (
      await desk.godwit<{ version: number; mustBeSignedAgain?: string[] }[]>('trust', 'push', signed)
    )[0]
  }
  // Dave for Ana; then Ana's and Ben's root keys are both gone; then Quin may release no longer, and Rita may.
  expect(
    await rotate('r2.json', [ben, ana, dave], '--add-root-key', dave.pub, '--remove-root-key', ana.pub),
  ).toMatchObject({ version: 2 })
  expect(
    await rotate('r3.json', [ben, dave, rita], ...['--add-root-key', rita.pub, '--remove-root-key', ben.pub]),
  ).toMatchObject({ version: 3 })
  expect(
    await rotate(
      'r4.json',
      [dave, rita],
      ...['--add-targets-key', rita.pub, '--remove-targets-key', quin.keyid],
    ),
  ).toMatchObject({ version: 4, mustBeSignedAgain: ['targets'] })

  // Between the root and the publishers' new signature nothing can be installed, and nothing is listed.
  const early = await device('early')
  expect(await connect(early)).toMatchObject({ trusted: false, because: 'bad-signature' })
  expect(await listed('v1')).toBe(false)
  const publish = ['version', 'publish', desk.file('v1'), 'gauge@v2']
  expect(await desk.refused(...publish, '--key', pia.key, rita.key)).toMatchObject({ code: 'hub_untrusted' })

  const renewed = desk.file('targets-3.json')
  await desk.godwit('trust', 'renew', '--out', renewed)
  await desk.godwit('trust', 'push', await desk.signedBy(renewed, [pia, rita]))
  expect(await listed('v1')).toBe(true)

  expect(await connect(sleeper)).toMatchObject({ trusted: true })
  expect(sleeper.versions).toMatchObject({ root: 4, targets: 3 })
  expect(await find(sleeper)).toMatchObject({ trusted: true })
  // And the one that was awake in the middle needs nothing but the next refresh.
  expect(await connect(early)).toMatchObject({ trusted: true })
  expect(await find(early)).toMatchObject({ trusted: true })

  const stolen = desk.file('targets-4.json')
  await desk.godwit('trust', 'renew', '--out', stolen)
  await desk.godwit('sign', stolen, '--key', quin.key, '--out', desk.file('quin-4.sig.json'))
  const assemble = ['trust', 'assemble', stolen, '--signature', desk.file('quin-4.sig.json')]
  expect(await desk.refused(...assemble, '--out', desk.file('y.json'))).toMatchObject({
    code: 'signer_unknown',
  })
})

test('a hub that offers roots which do not follow from the one at hand is found out', async () => {
  const other = desk.file('other-root.json')
  await desk.godwit(
    ...['trust', 'init', '--root-key', quin.pub, '--targets-key', quin.pub],
    ...[
      '--hub-keys',
      desk.file('hub-public.json'),
      '--out',
      other,
      '--targets-out',
      desk.file('other-t.json'),
    ],
  )
  const pinned = await desk.signedBy(other, [quin])
  const rotate = ['trust', 'rotate', '--root', pinned, '--out', desk.file('never-root.json')]
  expect(await desk.refused(...rotate)).toMatchObject({ code: 'hub_untrusted' })
})

test("the hub's own keys are exchanged while it is stopped, and a device follows root, metadata and directive", async () => {
  const { enrolment, directives } = hub.services
  const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
  await enrolment.enrol(joinRequest(parseJoinToken(token)!.secret, seedOf(9), 'sleeper'))
  const goal = {
    ...{ model: 'gauge', version: 'v1', probation: defaultProbation },
    ...{ releaseDigest: release.releaseDigest, releaseBytes: release.bytes },
  }
  await directives.setGoal(['sleeper'], 'default', goal, { who: 'test' })
  const before = (await directives.current('sleeper'))!
  expect(await sleeper.takeDirective(before)).toMatchObject({ trusted: true })

  const [config, hubKeys, root] = [join(state, 'hub.yaml'), desk.file('hub-2.json'), desk.file('r5.json')]
  await desk.godwit('hub', 'keys', '--rotate', '--state', state, '--out', hubKeys)
  await desk.godwit('trust', 'rotate', '--hub-keys', hubKeys, '--out', root)
  const people = ['dave', 'rita'].map((name) => ({ ...ana, name, key: desk.file(`keys/${name}.key.json`) }))
  const signed = await desk.signedBy(root, people)
  // While it runs with the old keys, the hub could sign nothing under this root.
  expect(await desk.refused('trust', 'push', signed)).toMatchObject({ code: 'signature-invalid' })
  const port = Number(new URL(hub.addresses.httpUrl).port)
  desk.write('hub/hub.yaml', `fleet: ${fleet}\nstateDir: ${state}\nhttp: { port: ${port} }\n`)
  const rotate = ['hub', 'rotate-keys', '--config', config, '--root']
  expect(await desk.refused(...rotate, signed)).toMatchObject({ code: 'hub_running' })
  await desk.stopHub()
  expect(await desk.refused(...rotate, root)).toMatchObject({ code: 'root_refused' })
  expect(await desk.godwit(...rotate, signed)).toEqual({ version: 5, directives: 1 })

  hub = await desk.startHub(state, fleet)
  expect(await connect(sleeper)).toMatchObject({ trusted: true })
  expect(sleeper.versions).toMatchObject({ root: 5 })
  const after = (await hub.services.directives.current('sleeper'))!
  expect(await sleeper.takeDirective(after)).toMatchObject({ trusted: true, value: { unchanged: false } })
  // What the old director signed is worth nothing any more.
  expect(await sleeper.takeDirective(before)).toMatchObject({ trusted: false, because: 'bad-signature' })
})
