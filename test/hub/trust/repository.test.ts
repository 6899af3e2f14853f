import { newHubKeys, publicHubKeys } from '@godwit/hub/trust/hub-keys'
import { targetPathOf } from '@godwit/protocol/release/release'
import { TrustClient } from '@godwit/protocol/trust/client'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bundleOf, publish, targetOf } from '../support/bundle.ts'
import {
  type Box,
  newHub,
  rootDocument,
  rootSeed,
  seedOf,
  signedRoot,
  signedTargets,
} from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const repository = () => box.hub.services.repository
const bundle = bundleOf()

/** A device as the protocol says one behaves, fed with what the hub serves by file name. */
async function device() {
  const held = new Map([['root', await repository().firstRoot()]])
  const opened = TrustClient.open(held)
  if (!opened.trusted) throw new Error(opened.detail)
  const carrier: Carrier = {
    fetch: async ({ fileName }) => (await repository().serve(fileName)) ?? null,
    store: ({ role, bytes }) => void held.set(role, bytes),
    delete: ({ role }) => void held.delete(role),
  }
  return {
    refresh: () => runRefresh(opened.value, box.time.now, carrier),
    find: (path: string) => runFindTarget(opened.value, path, carrier),
  }
}

test('a device believes what a new hub serves', async () => {
  expect(await (await device()).refresh()).toMatchObject({ trusted: true })
})

test('a device finds a release once the publishers have signed for it, and not before', async () => {
  const one = await device()
  await publish(box.hub, bundle)
  await one.refresh()
  const path = targetPathOf('identity', '1')
  expect(await one.find(path)).toMatchObject({ trusted: false })
  expect(await repository().acceptTargets(signedTargets(2, targetOf(bundle)), 'test')).toMatchObject({
    trusted: true,
  })
  expect(await one.refresh()).toMatchObject({ trusted: true })
  expect(await one.find(path)).toMatchObject({
    trusted: true,
    value: { file: { length: bundle.bytes.length } },
  })
})

test('what is listed, and what is taken back, shows on the version', async () => {
  const { registry } = box.hub.services
  await publish(box.hub, bundle)
  expect(await registry.version('identity', '1')).not.toHaveProperty('listedAt')
  await repository().acceptTargets(signedTargets(2, targetOf(bundle)), 'test')
  expect(await registry.version('identity', '1')).toMatchObject({ listedAt: box.time.now })
  await repository().acceptTargets(signedTargets(3), 'test')
  expect(await registry.version('identity', '1')).toMatchObject({ delistedAt: box.time.now })
})

test.each([
  ['a version that is not the next', () => signedTargets(3), 'version-mismatch'],
  ['the version that is there already', () => signedTargets(1), 'version-mismatch'],
  ["a stranger's signature", () => signedTargets(2, {}, { seed: seedOf(77) }), 'bad-signature'],
  ['the online key of the hub', () => signedTargets(2, {}, { seed: box.hubKeys.snapshot }), 'bad-signature'],
  ['targets that have expired', () => signedTargets(2, {}, { expires: '2026-10-31T00:00:00Z' }), 'expired'],
  ['a release that was never uploaded', () => signedTargets(2, targetOf(bundle)), 'not-listed'],
  ['no targets at all', () => new TextEncoder().encode('{}'), 'malformed'],
])('targets are refused: %s', async (_, bytes, because) => {
  expect(await repository().acceptTargets(bytes(), 'test')).toMatchObject({ trusted: false, because })
  expect((await repository().current()).find(({ role }) => role === 'targets')).toMatchObject({ version: 1 })
})

test('targets are refused when their digest is not that of the upload', async () => {
  await publish(box.hub, bundle)
  const [path, target] = Object.entries(targetOf(bundle))[0]!
  const lying = { [path]: { ...target, hashes: { sha256: '0'.repeat(64) } } }
  expect(await repository().acceptTargets(signedTargets(2, lying), 'test')).toMatchObject({
    because: 'hash-mismatch',
  })
  const misnamed = { [targetPathOf('identity', '2')]: target }
  expect(await repository().acceptTargets(signedTargets(2, misnamed), 'test')).toMatchObject({
    because: 'not-listed',
  })
})

test('of two publishers with the same next version, one is accepted', async () => {
  const both = await Promise.all([
    repository().acceptTargets(signedTargets(2), 'a'),
    repository().acceptTargets(signedTargets(2), 'b'),
  ])
  expect(both.filter(({ trusted }) => trusted)).toHaveLength(1)
})

test('a timestamp is signed again before it expires, and a device never sees an expired one', async () => {
  const one = await device()
  const day = 86_400_000
  for (let quarter = 0; quarter < 60; quarter++) {
    box.time.now += day / 4
    await repository().refresh(box.time.now)
    expect(await one.refresh()).toMatchObject({ trusted: true })
  }
})

test('nothing is signed again while half of its life is left', async () => {
  box.time.now += 86_400_000 / 2 - 1_000
  expect(await repository().refresh(box.time.now)).toBe(false)
  box.time.now += 2_000
  expect(await repository().refresh(box.time.now)).toBe(true)
})

test('a device follows a change of the root keys, and the stolen old key is worth nothing after it', async () => {
  const one = await device()
  const fresh = keyOfSeed(seedOf(50))
  const before = rootDocument(box.hubKeys)
  const next = rootDocument(box.hubKeys, {
    version: 2,
    keys: { ...before.keys, [keyIdOf(fresh)]: fresh },
    roles: { ...before.roles, root: { keyids: [keyIdOf(fresh)], threshold: 1 } },
  })
  expect(await repository().acceptRoot(signedRoot(next, rootSeed), 'test')).toMatchObject({
    because: 'bad-signature',
  })
  expect(await repository().acceptRoot(signedRoot(next, rootSeed, seedOf(50)), 'test')).toMatchObject({
    trusted: true,
  })
  expect(await one.refresh()).toMatchObject({ trusted: true, value: { root: { version: 2 } } })
  const stolen = signedRoot({ ...next, version: 3 }, rootSeed)
  expect(await repository().acceptRoot(stolen, 'thief')).toMatchObject({ because: 'bad-signature' })
})

test('a root that forgets the keys of the hub is refused, because the hub could sign nothing under it', async () => {
  const strange = rootDocument(newHubKeys(), { version: 2 })
  expect(await repository().acceptRoot(signedRoot(strange), 'test')).toMatchObject({
    trusted: false,
    detail: expect.stringContaining(keyIdOf(publicHubKeys(box.hubKeys).snapshot)),
  })
})

test('a change of metadata is told once it is committed', async () => {
  const seen: Promise<number>[] = []
  repository().onChange(() => {
    const current = repository().current()
    seen.push(current.then((all) => all.find(({ role }) => role === 'targets')!.version!))
  })
  await repository().acceptTargets(signedTargets(2), 'test')
  await repository().acceptTargets(signedTargets(2), 'test')
  expect(await Promise.all(seen)).toEqual([2])
})

test('a restart keeps every document byte for byte', async () => {
  const before = await repository().current()
  await box.hub.stop()
  expect(await (await box.again()).services.repository.current()).toEqual(before)
})

test.each(['root.json', '0.root.json', '1.director.json', '1.root.json/../../x', 'constructor'])(
  '%s is no metadata file',
  async (name) => {
    expect(await repository().serve(name)).toBeUndefined()
  },
)
