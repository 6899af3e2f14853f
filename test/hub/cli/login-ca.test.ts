import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HubClient } from '@godwit/hub/cli/client'
import { runProgram } from '@godwit/hub/cli/main'
import { authorityOf, newAuthority } from '@godwit/hub/tls/authority'
import { type HubCertificates, tlsPathsIn } from '@godwit/hub/tls/hub-certificates'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'

let box: Box
let directory: string
beforeEach(async () => {
  directory = scratch()
  box = await newHub({ tls: { mode: 'hub' } })
  // Whoever looks at a certificate does so by the wall clock.
  box.time.now = Date.now()
  await box.hub.services.certificates?.reload()
  await box.hub.start()
})
afterEach(() => box.close())

const url = () => box.hub.addresses.httpUrl
const caFile = () => tlsPathsIn(box.stateDir).authority

/** On a machine that knows of the hub what its contexts say and no more. */
async function godwit(...args: string[]) {
  const said = { stdout: '', stderr: '' }
  const code = await runProgram(
    {
      environment: { GODWIT_CONFIG_DIR: directory, GODWIT_TOKEN: box.adminToken, NO_COLOR: '1' },
      stdout: (text) => {
        said.stdout += text
      },
      stderr: (text) => {
        said.stderr += text
      },
      tty: false,
      now: () => box.time.now,
      signal: new AbortController().signal,
    },
    args,
  )
  return { code, ...said }
}

test('a hub with an authority of its own is believed by its certificate, from then on without naming it', async () => {
  expect(await godwit('login', url(), '--ca', caFile())).toMatchObject({ code: 0, stderr: '' })
  expect(await godwit('whoami')).toMatchObject({ code: 0 })
  expect(await godwit('login', url())).toMatchObject({ code: 0 })
  expect(await godwit('device', 'list', '--json')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\[\]/),
  })
})

test('without it nothing is sent, and the words say what is missing', async () => {
  let requests = 0
  box.hub.http.server.on('request', () => requests++)
  const { code, stderr } = await godwit('login', url())
  expect([code, stderr]).toEqual([6, expect.stringMatching(/hub_certificate[\s\S]*--ca FILE/)])
  expect(requests).toBe(0)
})

test('a hub that shows a certificate by another authority of the same name is not believed', async () => {
  const fleet = box.config.fleet
  const other = join(directory, 'other.pem')
  writeFileSync(other, (await newAuthority(fleet, Date.now())).certificate)
  expect(await godwit('login', url(), '--ca', other)).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/hub_certificate/),
  })
})

test.each([
  ['that has ended', 100, /expired/],
  ['of tomorrow', -3, /not yet valid/],
])('a certificate %s is not believed', async (_what, daysAgo, words) => {
  const [pem, key] = ['authority', 'authorityKey'].map((name) =>
    readFileSync(tlsPathsIn(box.stateDir)[name as 'authority'], 'utf8'),
  )
  const authority = authorityOf({ certificate: pem!, key: key! })
  const made = await authority.issueServer(['127.0.0.1'], Date.now() - daysAgo * 86_400_000)
  const server = box.hub.http.server as unknown as { setSecureContext(held: object): void }
  server.setSecureContext({ cert: made.certificate, key: made.key })
  const { code, stderr } = await godwit('login', url(), '--ca', caFile())
  expect([code, stderr]).toEqual([6, expect.stringMatching(words)])
})

test('a certificate for another name is not believed', async () => {
  const { authority } = box.hub.services.certificates as HubCertificates
  const made = await authority.issueServer(['hub.example'], Date.now())
  const server = box.hub.http.server as unknown as { setSecureContext(held: object): void }
  server.setSecureContext({ cert: made.certificate, key: made.key })
  expect(await godwit('login', url(), '--ca', caFile())).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/altnames/),
  })
})

test('a file that holds no authority is refused before anything is asked', async () => {
  const nothing = join(directory, 'nothing.pem')
  writeFileSync(nothing, 'nothing')
  for (const file of [nothing, join(directory, 'absent.pem'), tlsPathsIn(box.stateDir).server])
    expect(await godwit('login', url(), '--ca', file)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/ca_unreadable/),
    })
  const plain = await godwit('login', url().replace('https', 'http'), '--ca', caFile())
  expect([plain.code, plain.stderr]).toEqual([2, expect.stringMatching(/ca_without_tls/)])
})

test('files go up and come down whole over it', async () => {
  await godwit('login', url(), '--ca', caFile())
  const hub = new HubClient({ url: url(), token: box.adminToken, ca: readFileSync(caFile(), 'utf8') })
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
  const file = join(directory, 'blob')
  writeFileSync(file, bytes)
  const path = `/blobs/sha256/${sha256Hex(bytes)}`
  expect(await hub.exists(path)).toBe(false)
  await hub.sendFile(`/api/v1${path}`, file)
  expect(await hub.exists(path)).toBe(true)
  expect(Buffer.from(await hub.bytes(path)).equals(bytes)).toBe(true)
  const parts: Buffer[] = []
  for await (const part of await hub.stream(path)) parts.push(part as Buffer)
  expect(Buffer.concat(parts).equals(bytes)).toBe(true)
  // A hub that stops waits for connections that it still takes for busy, until their keep-alive runs out.
  box.hub.http.server.closeAllConnections()
})

test('an upload that is refused before all of it went out ends with the refusal, and holds no hub up', async () => {
  const hub = new HubClient({ url: url(), token: box.adminToken, ca: readFileSync(caFile(), 'utf8') })
  const file = join(directory, 'large')
  writeFileSync(file, Buffer.alloc(16 * 2 ** 20))
  await expect(hub.sendFile('/nowhere', file)).rejects.toMatchObject({ exit: 'notFound' })
  await box.hub.stop()
})
