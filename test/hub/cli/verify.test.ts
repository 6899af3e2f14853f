import {
  appendFileSync,
  cpSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { newHubKeys } from '@godwit/hub/trust/hub-keys'
import { asTeam } from '@godwit/hub/trust/team'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import type { Targets } from '@godwit/protocol/trust/metadata'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundleOf, publish, targetOf } from '../support/bundle.ts'
import {
  type Box,
  newHub,
  rootDocument,
  seedOf,
  signedRoot,
  signedTargets,
  targetsSeed,
} from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'
import { godwitFor } from './godwit.ts'

let box: Box
const bundle = bundleOf()
beforeAll(async () => {
  box = await newHub()
  await publish(box.hub, bundle)
  const { repository } = box.hub.services
  // The fleet has a second root and has listed the release under it.
  await repository.acceptRoot(signedRoot(rootDocument(box.hubKeys, { version: 2 })), 'test')
  await repository.acceptTargets(signedTargets(2, targetOf(bundle)), 'test')
  await box.hub.start()
})
afterAll(() => box.close())

/** A downloaded release, with the root that was pinned on the day the fleet began. */
async function downloaded() {
  const home = scratch()
  const directory = join(home, 'release')
  const answer = await godwitFor(box, home)('version', 'download', 'identity@1', directory)
  expect(answer).toMatchObject({ code: 0, stderr: '' })
  const root = join(home, '1.root.json')
  writeFileSync(root, await box.hub.services.repository.firstRoot())
  return { directory, root, home, godwit: godwitFor(undefined, home) }
}

/** The hub's documents were signed at the beginning of that day. */
const at = ['--at', '2026-11-01T00:10:00Z']

test('a download has the release, its files and the metadata, and nothing half done beside it', async () => {
  const { directory, home } = await downloaded()
  for (const path of ['release.json', 'files/model.onnx', 'metadata/1.root.json', 'metadata/2.root.json'])
    expect(existsSync(join(directory, path)), path).toBe(true)
  expect(existsSync(join(directory, 'metadata/timestamp.json'))).toBe(true)
  const again = await godwitFor(box, home)('version', 'download', 'identity@1', directory)
  expect(again).toMatchObject({ code: 5, stderr: expect.stringContaining('directory_exists') })
})

test('a version that is not there leaves no directory', async () => {
  const home = scratch()
  const answer = await godwitFor(box, home)('version', 'download', 'identity@9', join(home, 'release'))
  expect(answer.code).toBe(3)
  expect(existsSync(join(home, 'release'))).toBe(false)
})

test('a download verifies without a hub, and says who signed it', async () => {
  const { directory, root, godwit } = await downloaded()
  const verdict = await godwit('verify', directory, '--root', root, ...at, '--json')
  expect(verdict).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(verdict.stdout)).toMatchObject({
    ...{ verified: true, model: 'identity', version: '1', releaseCounter: 1 },
    ...{ role: 'targets', signedBy: [keyIdOf(keyOfSeed(targetsSeed))], threshold: 1 },
    ...{ rootVersion: 2, targetsVersion: 2, files: 3 },
  })
  const words = (await godwit('verify', directory, '--root', root, ...at)).stdout
  expect(words).toContain("identity 1 is a release of this fleet's publishers")
  expect(words).toContain(keyIdOf(keyOfSeed(targetsSeed)))
})

test('metadata may lie elsewhere', async () => {
  const { directory, root, home, godwit } = await downloaded()
  renameSync(join(directory, 'metadata'), join(home, 'meta'))
  const given = ['--metadata', join(home, 'meta'), '--expect', 'identity@1']
  expect((await godwit('verify', directory, '--root', root, ...at, ...given)).code).toBe(0)
})

test("a release that a team lists verifies by the team's keys", async () => {
  const team = await newHub()
  await publish(team.hub, bundle)
  const { repository } = team.hub.services
  const key = keyOfSeed(seedOf(31))
  const paths = ['id*/*/release.json']
  const role = { name: 'line-a', keyids: [keyIdOf(key)], threshold: 1, terminating: true, paths }
  const delegations = { keys: { [keyIdOf(key)]: key }, roles: [role] }
  const top = await repository.acceptTargets(signedTargets(2, {}, { delegations }), 'test')
  const own = signedTargets(1, targetOf(bundle), { ...asTeam({} as Targets, 'line-a'), seed: seedOf(31) })
  expect(top).toMatchObject({ trusted: true })
  expect(await repository.acceptDelegated('line-a', own, 'test')).toEqual({
    trusted: true,
    value: { version: 1 },
  })
  await team.hub.start()
  const home = scratch()
  const [directory, root] = [join(home, 'release'), join(home, 'root.json')]
  writeFileSync(root, await repository.firstRoot())
  const download = await godwitFor(team, home)('version', 'download', 'identity@1', directory)
  await team.close()
  expect(download).toMatchObject({ code: 0, stderr: '' })
  const verdict = await godwitFor(undefined, home)('verify', directory, '--root', root, ...at, '--json')
  expect(verdict).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(verdict.stdout)).toMatchObject({ role: 'line-a', signedBy: [keyIdOf(key)] })
})

describe('refused with exit code 6', () => {
  const cases: [string, string, (directory: string) => void][] = [
    [
      'hash_mismatch',
      'a file with a bit turned',
      (d) => {
        const path = join(d, 'files/model.onnx')
        const bytes = readFileSync(path)
        bytes[9]! ^= 1
        writeFileSync(path, bytes)
      },
    ],
    ['length_mismatch', 'a file that has grown', (d) => appendFileSync(join(d, 'files/model.onnx'), 'x')],
    ['file_missing', 'a file gone', (d) => rmSync(join(d, 'files/golden.json'))],
    ['unsigned_file', 'a file more', (d) => writeFileSync(join(d, 'files/setup.py'), 'import os')],
    [
      'symlink_refused',
      'a file behind a link',
      (d) => {
        renameSync(join(d, 'files/model.onnx'), join(d, 'model.onnx'))
        symlinkSync('../model.onnx', join(d, 'files/model.onnx'))
      },
    ],
    ['file_missing', 'no release', (d) => rmSync(join(d, 'release.json'))],
    [
      'length_mismatch',
      'another release of the same name',
      (d) => {
        const path = join(d, 'release.json')
        writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), note: 'improved' }))
      },
    ],
    [
      'not_listed',
      'a release that nobody listed',
      (d) => {
        const path = join(d, 'release.json')
        writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), version: '2' }))
      },
    ],
    ['malformed', 'a release that is none', (d) => writeFileSync(join(d, 'release.json'), '{"format":1}')],
    [
      'bad_signature',
      "an attacker's next root",
      (d) => {
        const root = rootDocument(box.hubKeys, { version: 3 })
        writeFileSync(join(d, 'metadata/3.root.json'), signedRoot(root, seedOf(99)))
      },
    ],
    [
      'hash_mismatch',
      "an attacker's targets",
      (d) => {
        const path = join(d, 'metadata/2.targets.json')
        const text = readFileSync(path, 'utf8').replace('"releaseCounter":1', '"releaseCounter":2')
        writeFileSync(path, text)
      },
    ],
    ['absent', 'no timestamp', (d) => rmSync(join(d, 'metadata/timestamp.json'))],
  ]
  test.each(cases)('%s: %s', async (code, _, spoil) => {
    const { directory, root, godwit } = await downloaded()
    spoil(directory)
    const answer = await godwit('verify', directory, '--root', root, ...at)
    expect(answer).toMatchObject({ code: 6, stdout: '' })
    expect(answer.stderr).toContain(`[${code}]`)
  })

  test('expired: metadata from long ago, unless it is judged as of then', async () => {
    const { directory, root, godwit } = await downloaded()
    const late = await godwit('verify', directory, '--root', root, '--at', '2030-01-01T00:00:00Z')
    expect(late).toMatchObject({ code: 6, stderr: expect.stringContaining('[expired]') })
    expect(late.stderr).toContain('--at')
  })

  test('another_release: not the one that was expected', async () => {
    const { directory, root, godwit } = await downloaded()
    const answer = await godwit('verify', directory, '--root', root, ...at, '--expect', 'identity@2')
    expect(answer).toMatchObject({ code: 6, stderr: expect.stringContaining('[another_release]') })
  })

  test('bad_signature: the root of another fleet, signed by other people', async () => {
    const { directory, root, godwit } = await downloaded()
    const strangers = { root: keyOfSeed(seedOf(41)), targets: keyOfSeed(seedOf(42)) }
    const other = rootDocument(newHubKeys())
    for (const [name, key] of Object.entries(strangers)) {
      other.keys[keyIdOf(key)] = key
      other.roles[name as 'root'] = { keyids: [keyIdOf(key)], threshold: 1 }
    }
    writeFileSync(root, signedRoot(other, seedOf(41)))
    const answer = await godwit('verify', directory, '--root', root, ...at)
    expect(answer).toMatchObject({ code: 6, stderr: expect.stringContaining('[bad_signature]') })
  })
})

describe('the audit', () => {
  async function exported() {
    const { root, home, godwit } = await downloaded()
    const { audit } = box.hub.services
    await audit.checkpointIfDue(box.time.now + 1e9)
    const file = join(home, 'audit.jsonl')
    expect(await godwitFor(box, home)('audit', 'export', '--out', file)).toMatchObject({
      code: 0,
      stderr: '',
    })
    return { file, root, home, godwit }
  }

  test('is exported from the hub and proved without it', async () => {
    const { file, root, godwit, home } = await exported()
    const proof = await godwit('audit', 'verify', file, '--root', root, '--fleet', 'test-fleet', '--json')
    expect(proof).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(proof.stdout)).toMatchObject({ proved: true, fleet: 'test-fleet' })
    expect((await godwit('audit', 'verify', file, '--root', root)).stdout).toContain('is whole')
    expect((await godwitFor(box, home)('audit', 'export', '--out', file)).code).toBe(5)
  })

  test('is refused with exit code 6 when it was changed, cut off, or is of another fleet', async () => {
    const { file, root, godwit } = await exported()
    const text = readFileSync(file, 'utf8')
    const outcome = async (changed: string, ...more: string[]) => {
      writeFileSync(file, changed)
      const { code, stderr } = await godwit('audit', 'verify', file, '--root', root, ...more)
      return `${code} ${/\[\w+\]/.exec(stderr)?.[0]}`
    }
    expect(await outcome(text.replace('root.accept', 'root.reject'))).toBe('6 [entry_changed]')
    expect(await outcome(text.slice(0, text.lastIndexOf('{"end"')))).toBe('6 [export_incomplete]')
    expect(await outcome('')).toBe('6 [export_incomplete]')
    expect(await outcome(text, '--fleet', 'other')).toBe('6 [wrong_fleet]')
  })
})

describe('OpenSSF Model Signing', () => {
  test('a key is made, signs a downloaded bundle, and its public half verifies it', async () => {
    const { directory, home, godwit } = await downloaded()
    const files = join(directory, 'files')
    const [key, pub] = [join(home, 'oms.pem'), join(home, 'oms.pub.pem')]
    expect(await godwit('oms', 'key', '--out', key)).toMatchObject({ code: 0, stderr: '' })
    expect(statSync(key).mode & 0o777).toBe(0o600)
    expect((await godwit('oms', 'key', '--out', key)).code).toBe(5)
    expect(await godwit('oms', 'sign', files, '--key', key)).toMatchObject({ code: 0, stderr: '' })
    const verify = ['oms', 'verify', files, '--key', pub, '--signature', `${files}.sig`]
    expect(await godwit(...verify)).toMatchObject({ code: 0, stdout: expect.stringContaining('3 files') })
    // The signature may lie inside the model too.
    cpSync(`${files}.sig`, join(files, 'model.sig'))
    expect((await godwit(...verify)).stderr).toContain('[unsigned_file]')
    const inside = ['oms', 'verify', files, '--key', pub, '--signature', join(files, 'model.sig')]
    expect((await godwit(...inside)).code).toBe(0)
    appendFileSync(join(files, 'model.onnx'), 'x')
    expect(await godwit(...inside)).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('[digest_mismatch]'),
    })
  })
})
