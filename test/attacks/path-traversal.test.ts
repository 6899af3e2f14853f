import { readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { BundlePath } from '@godwit/protocol/release/release'
import { Compile } from 'typebox/compile'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundleOf } from '../hub/support/bundle.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'
import { refused, slotFor, Victim } from './victim.ts'

let box: Box
const secret = 'what nobody may read'
beforeAll(async () => {
  box = await newHub()
  await box.hub.start()
  writeFileSync(join(box.stateDir, 'secret.json'), secret)
  writeFileSync(join(box.stateDir, 'blobs', 'secret.json'), secret)
})
afterAll(() => box.close())

/** By hand, because a client would tidy the path up before it leaves. */
function rawGet(path: string): Promise<string> {
  const { port } = new URL(box.hub.addresses.httpUrl)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1')
    let answer = ''
    socket.on('data', (bytes) => (answer += bytes.toString('latin1')))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    const headers = `Host: hub\r\nAuthorization: Bearer ${box.adminToken}\r\nConnection: close`
    socket.write(`GET ${path} HTTP/1.1\r\n${headers}\r\n\r\n`)
  })
}

const ways = [
  '../secret.json',
  '..%2fsecret.json',
  '%2e%2e/secret.json',
  '..%252fsecret.json',
  '..\\secret.json',
  '..%5csecret.json',
  '....//secret.json',
  '%00/../secret.json',
  '/etc/passwd',
  '%2fetc%2fpasswd',
  '../../../../../../../../etc/passwd',
  '..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
  '../hub-keys.json',
  '..%2fhub-keys.json',
  '../hub.db',
  'incoming/../../secret.json',
]

describe.each(['/blobs/sha256/', '/blobs/', '/meta/', '/assets/', '/', '/problems/', '/api/v1/models/'])(
  '%s',
  (base) => {
    test.each(ways)('does not lead out by %s', async (way) => {
      const answer = await rawGet(base + way)
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
      for (const leak of [secret, 'root:', 'godwit-hub-keys', 'SQLite format'])
        expect(answer).not.toContain(leak)
    })
  },
)

describe('a bundle path', () => {
  const isPath = Compile(BundlePath)
  const bad = [
    '../x',
    'a/../x',
    'a/..',
    '..',
    '.',
    './x',
    '/etc/passwd',
    'a//b',
    'a\\..\\b',
    'C:\\x',
    '',
    'a/',
    '~/x',
    'a\0b',
    '-rf',
    '.ssh/keys',
    'a/b/c/d/e/f/g/h/i',
    'x'.repeat(200),
    'é',
    'a\nb',
  ]

  test.each(bad)('%j is none', (path) => {
    expect(isPath.Check(path)).toBe(false)
  })

  test.each(bad)('%j in a release keeps it out of the registry', async (path) => {
    const { release } = bundleOf()
    const files = { ...release.files, [path]: release.files['model.onnx']! }
    const answer = await box.hub.http.inject({
      method: 'POST',
      url: '/api/v1/versions',
      headers: { authorization: `Bearer ${box.adminToken}`, 'content-type': 'application/json' },
      payload: JSON.stringify({ ...release, files }),
    })
    expect(answer.statusCode).toBe(422)
    expect(answer.json().type).toBe('/problems/validation')
  })
})

describe('on a device', () => {
  const roles = [
    '../root',
    '../../etc/passwd',
    '..',
    '.',
    'a/b',
    'a\\b',
    '%2e%2e%2froot',
    'root.json/../timestamp',
    '-rf',
  ]

  test.each(roles)('a role called %j writes no file but its own in the folder of metadata', async (role) => {
    let files = new Map<string, Uint8Array>()
    const victim = new Victim(async (name) => files.get(name) ?? null)
    files = victim.repository.files
    victim.repository.delegate('targets', role, { paths: ['*/*/release.json'] })
    const goal = victim.lists('gauge', '1', 'theirs', role)
    victim.repository.publish()
    expect(await victim.trust.refresh()).toMatchObject({ trusted: true })
    expect(await victim.finds(goal)).toMatchObject({ trusted: true })
    const written = readdirSync(victim.directory, { recursive: true, encoding: 'utf8' })
    const own = join('trust', `${encodeURIComponent(role)}.json`)
    const known = ['timestamp', 'snapshot', 'targets'].map((name) => join('trust', `${name}.json`))
    expect(written.sort()).toEqual(['trust', own, ...known].sort())
    // And it is found again under the name that it has.
    victim.restart()
    expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  })

  test.each(['root', 'timestamp', 'snapshot', 'targets'])(
    'no delegated role may be called %s',
    async (role) => {
      const victim = new Victim(async (name) => victim.repository.files.get(name) ?? null)
      const targets = victim.repository.targets.get('targets')!
      const grant = { name: role, keyids: [], threshold: 1, terminating: false, paths: ['*'] }
      targets.delegations = { keys: {}, roles: [grant] }
      victim.repository.publish()
      expect(await victim.trust.refresh()).toMatchObject(refused('malformed', /must not be called/))
    },
  )

  test.each(['../../x', 'a/b', '..', ''])('a directive for the model %j is refused', async (model) => {
    const victim = new Victim()
    const goal = { model, version: '1', releaseDigest: 'ab'.repeat(32), releaseBytes: 10 }
    expect(await victim.takes(victim.directive(1, slotFor(goal)))).toMatchObject(refused('malformed'))
    const slot = { '../../x': slotFor({ ...goal, model: 'gauge' }).slots.default }
    expect(await victim.takes(victim.directive(1, { slots: slot }))).toMatchObject(refused('malformed'))
    expect(victim.trust.directive).toBeUndefined()
  })
})
