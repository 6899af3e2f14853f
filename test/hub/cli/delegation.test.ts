import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { pathsIn } from '@godwit/agent/control/paths'
import { Trust } from '@godwit/agent/control/trust/trust'
import type { Hub } from '@godwit/hub/wiring'
import { topics } from '@godwit/protocol/topics'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { identityFiles } from '../../support/identity-bundle.ts'
import { Desk, type Person } from './ceremony-desk.ts'

/** One team's life in a fleet, in order: each test begins where the last one ended. */

const desk = new Desk(mkdtempSync(join(tmpdir(), 'godwit-delegation-')))
const fleet = 'workshop'
let lead: Person
let vera: Person
let victor: Person
let stranger: Person
let hub: Hub
let overMqtt: Trust
let overHttp: Trust

beforeAll(async () => {
  lead = await desk.person('lead', 1)
  vera = await desk.person('vera', 2)
  victor = await desk.person('victor', 3)
  stranger = await desk.person('stranger', 4)
  const hubKeys = desk.file('hub-public.json')
  await desk.godwit('hub', 'keys', '--state', desk.file('hub'), '--out', hubKeys)
  const [root, targets] = [desk.file('root.json'), desk.file('targets.json')]
  await desk.godwit(
    ...['trust', 'init', '--root-key', lead.pub, '--targets-key', lead.pub, '--hub-keys', hubKeys],
    ...['--out', root, '--targets-out', targets],
  )
  const signedRoot = await desk.signedBy(root, [lead])
  const signedTargets = await desk.signedBy(targets, [lead], '--root', signedRoot)
  await desk.godwit(
    ...['hub', 'init', '--fleet', fleet, '--state', desk.file('hub')],
    ...['--root', signedRoot, '--targets', signedTargets],
  )
  hub = await desk.startHub(desk.file('hub'), fleet)
  for (const name of ['vision-cats', 'vision-dogs', 'audio-claps']) await desk.godwit('model', 'create', name)
  desk.bundle('bundle', identityFiles)
  overMqtt = await device('over-mqtt')
  overHttp = await device('over-http', async (fileName) => {
    const answer = await fetch(`${hub.addresses.httpUrl}/meta/${fileName}`)
    return answer.ok ? new Uint8Array(await answer.arrayBuffer()) : null
  })
})
afterAll(async () => {
  await desk.stopHub()
  rmSync(desk.directory, { recursive: true, force: true })
})

async function device(name: string, fetchMetadata?: (fileName: string) => Promise<Uint8Array | null>) {
  const clock = { wallMs: Date.now, monotonicMs: () => performance.now() }
  return new Trust({
    paths: pathsIn(desk.file(name)),
    names: { fleet, deviceId: name },
    time: new TrustedTime(clock, 0, () => {}),
    pinnedRoot: await hub.services.repository.firstRoot(),
    ...(fetchMetadata && { fetchMetadata }),
  })
}

/** Both devices look for it, one by what the broker retains and one over HTTP. */
async function found(model: string, version: string) {
  const entry = (await hub.services.registry.version(model, version))!
  overMqtt.forgetHeard()
  for (const { role, version: of, bytes } of await hub.services.repository.current())
    overMqtt.heard(topics.meta(fleet, role, of), bytes)
  const both = []
  for (const one of [overMqtt, overHttp])
    both.push(await one.findRelease(model, version, entry.releaseDigest, entry.releaseBytes))
  return both
}
const trusted = [{ trusted: true }, { trusted: true }]
const notListed = [
  { trusted: false, because: 'not-listed' },
  { trusted: false, because: 'not-listed' },
]
const isListed = async (model: string, version: string) =>
  (await desk.godwit<{ version: string; listed: boolean }[]>('version', 'list', model)).find(
    (one) => one.version === version,
  )?.listed

const publish = (what: string, ...more: string[]) => [
  'version',
  'publish',
  desk.file('bundle'),
  what,
  ...more,
]
const asVision = ['--role', 'vision', '--key', desk.file('keys/vera.key.json')]

async function change(name: string, ...command: string[]) {
  const file = desk.file(name)
  await desk.godwit(...command, '--out', file)
  const signed = await desk.signedBy(file, [lead])
  return desk.godwit('trust', 'push', signed)
}

test('a team that nobody delegated to cannot publish', async () => {
  expect(await desk.refused(...publish('vision-cats@1', ...asVision))).toMatchObject({ code: 'team_unknown' })
})

test.each([
  ['a name that would be a role of the hub', ['snapshot', '--prefix', 'vision-'], 'team_malformed'],
  ['a name with a path in it', ['../root', '--prefix', 'vision-'], 'team_malformed'],
  ['a prefix with a wildcard in it', ['vision', '--prefix', 'v*n-'], 'delegation_refused'],
  ['a prefix that takes in every model', ['vision', '--prefix', ''], 'delegation_refused'],
  ['prefixes that overlap', ['vision', '--prefix', 'vision-', 'vision-cats'], 'delegation_refused'],
  [
    'more signatures than keys',
    ['vision', '--prefix', 'vision-', '--threshold', '2'],
    'threshold_impossible',
  ],
])('refuses to delegate by %s', async (_, words, code) => {
  const out = desk.file('never.json')
  expect(await desk.refused('trust', 'delegate', ...words, '--key', vera.pub, '--out', out)).toMatchObject({
    code,
  })
})

test('a team releases under its prefix, and devices find it over MQTT and over HTTP', async () => {
  await change('t2.json', 'trust', 'delegate', 'vision', '--prefix', 'vision-', '--key', vera.pub)
  await desk.godwit(...publish('vision-cats@1', ...asVision))
  expect(await isListed('vision-cats', '1')).toBe(true)
  expect(await found('vision-cats', '1')).toMatchObject(trusted)
})

test('a release by the team and one by the publishers live side by side', async () => {
  await desk.godwit(...publish('audio-claps@1', '--key', lead.key))
  await desk.godwit(...publish('vision-dogs@1', '--role', 'vision', '--key', vera.key))
  expect(await found('audio-claps', '1')).toMatchObject(trusted)
  expect(await found('vision-dogs', '1')).toMatchObject(trusted)
  expect(await found('vision-cats', '1')).toMatchObject(trusted)
})

test('a team that signs outside its prefix is refused by the command line, and by the hub as well', async () => {
  expect(await desk.refused(...publish('audio-claps@2', ...asVision))).toMatchObject({
    code: 'outside_prefix',
    message: expect.stringContaining('vision may release vision-*/*/release.json'),
  })
  const file = desk.file('outside.json')
  await desk.godwit('trust', 'renew', '--team', 'vision', '--out', file)
  const prepared = desk.json<{ signed: { targets: Record<string, unknown> } }>('outside.json')
  const claps = (await hub.services.repository.current()).find(({ role }) => role === 'targets')!
  const top = JSON.parse(new TextDecoder().decode(claps.bytes)) as typeof prepared
  Object.assign(prepared.signed.targets, top.signed.targets)
  desk.write('outside.json', JSON.stringify(prepared))
  expect(await desk.refused('trust', 'push', await desk.signedBy(file, [vera]))).toMatchObject({
    code: 'signature-invalid',
    message: expect.stringContaining('may list vision-*/*/release.json, and lists audio-claps/1'),
  })
})

test("a stranger's key, and the publishers' own, cannot sign for the team", async () => {
  for (const { key } of [stranger, lead])
    expect(await desk.refused(...publish('vision-cats@2', '--role', 'vision', '--key', key))).toMatchObject({
      code: 'threshold_not_met',
    })
})

test('what was signed for one team is worth nothing to another with the same key', async () => {
  await change('t3.json', 'trust', 'delegate', 'video', '--prefix', 'video-', '--key', vera.pub)
  const file = desk.file('video.json')
  await desk.godwit('trust', 'renew', '--team', 'video', '--out', file)
  const signed = await desk.signedBy(file, [vera])
  const crossed = await fetch(`${hub.addresses.httpUrl}/api/v1/metadata/teams/vision`, {
    method: 'PUT',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${desk.json<{ contexts: Record<string, { token: string }> }>('config/contexts.json').contexts[fleet]!.token}`,
    },
    body: JSON.stringify(desk.json(signed.slice(desk.directory.length + 1))),
  })
  expect(crossed.status).toBe(422)
  expect(await crossed.json()).toMatchObject({ detail: 'vision: the document was signed for video' })
})

test('a team of two keys whose signatures are brought together releases as the publishers do', async () => {
  await change(
    't4.json',
    ...['trust', 'delegate', 'vision', '--prefix', 'vision-', '--key', vera.pub, victor.pub],
    ...['--threshold', '2'],
  )
  // One signature was enough when this was signed, and is not now.
  expect(await isListed('vision-cats', '1')).toBe(false)
  const again = desk.file('vision-again.json')
  await desk.godwit('trust', 'renew', '--team', 'vision', '--out', again)
  await desk.godwit('trust', 'push', await desk.signedBy(again, [vera, victor]))
  expect(await isListed('vision-cats', '1')).toBe(true)
  const next = desk.file('vision-next.json')
  await desk.godwit(...publish('vision-cats@2', '--role', 'vision', '--prepare', next))
  await desk.godwit('trust', 'push', await desk.signedBy(next, [vera, victor]))
  expect(await found('vision-cats', '2')).toMatchObject(trusted)
})

test('a team takes a release of its own back', async () => {
  await desk.godwit(
    ...['version', 'revoke', 'vision-cats@2', '--role', 'vision', '--key', vera.key, victor.key],
  )
  expect(await isListed('vision-cats', '2')).toBe(false)
  expect(await found('vision-cats', '2')).toMatchObject(notListed)
})

test('without the delegation its releases are listed no longer, and no device finds them', async () => {
  await change('t5.json', 'trust', 'undelegate', 'vision')
  expect(await isListed('vision-cats', '1')).toBe(false)
  expect(await found('vision-cats', '1')).toMatchObject(notListed)
  expect(await found('audio-claps', '1')).toMatchObject(trusted)
  expect(await desk.refused(...publish('vision-cats@3', ...asVision))).toMatchObject({ code: 'team_unknown' })
})

test('delegated to again, the team goes on where it stopped: no version goes back', async () => {
  await change('t6.json', 'trust', 'delegate', 'vision', '--prefix', 'vision-', '--key', victor.pub)
  // Victor alone counts now, and had signed.
  expect(await isListed('vision-cats', '1')).toBe(true)
  await desk.godwit(...publish('vision-cats@3', '--role', 'vision', '--key', victor.key))
  expect(await found('vision-cats', '3')).toMatchObject(trusted)
})
