import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { loadConfig } from '@godwit/hub/config'
import { authorityOf, newAuthority } from '@godwit/hub/tls/authority'
import { openHubCertificates, type TlsPaths, tlsPathsIn } from '@godwit/hub/tls/hub-certificates'
import { pino } from 'pino'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { scratch } from '../support/scratch.ts'

const now = Date.parse('2026-11-23T00:00:00Z')
const silent = pino({ level: 'silent' })
const tooOpen = 0o644

type Made = { certificate: string; key: string; server: string }
let made: Made
let stateDir: string
let paths: TlsPaths
beforeAll(async () => {
  const pair = await newAuthority('f', now)
  const server = await authorityOf(pair).issueServer(['localhost', '127.0.0.1', '::1'], now)
  made = { ...pair, server: server.certificate + pair.certificate + server.key }
})
beforeEach(() => {
  stateDir = scratch()
  paths = tlsPathsIn(stateDir)
})

async function start() {
  const config = loadConfig({ fleet: 'f', stateDir, tls: { mode: 'hub' } })
  const certificates = await openHubCertificates(config, silent, () => now)
  certificates.stop()
  return certificates
}

const half = (text: string) => text.slice(0, text.length / 2)
/** What is on the disk after each write of a first start, and after half of the next: what a power cut can leave. */
const steps: [string, (paths: TlsPaths, made: Made) => Record<string, string>][] = [
  ['nothing', () => ({})],
  ['half a key', (p, m) => ({ [`${p.authorityKey}.new`]: half(m.key) })],
  ['a key aside', (p, m) => ({ [`${p.authorityKey}.new`]: m.key })],
  ['a key', (p, m) => ({ [p.authorityKey]: m.key })],
  [
    'a key and half its certificate',
    (p, m) => ({ [p.authorityKey]: m.key, [`${p.authority}.new`]: half(m.certificate) }),
  ],
  ['an authority', (p, m) => ({ [p.authorityKey]: m.key, [p.authority]: m.certificate })],
  [
    "an authority and half of the hub's own",
    (p, m) => ({
      [p.authorityKey]: m.key,
      [p.authority]: m.certificate,
      [`${p.server}.new`]: half(m.server),
    }),
  ],
  ['all', (p, m) => ({ [p.authorityKey]: m.key, [p.authority]: m.certificate, [p.server]: m.server })],
  [
    'all, and half of a renewal',
    (p, m) => ({
      [p.authorityKey]: m.key,
      [p.authority]: m.certificate,
      [p.server]: m.server,
      [`${p.server}.new`]: half(m.server),
    }),
  ],
]

test.each(steps)(
  'a hub whose power went after %s starts, with an authority that was told to anybody kept',
  async (_, left) => {
    mkdirSync(paths.directory)
    const files = left(paths, made)
    // What lies aside may have been left by a start with another umask.
    for (const [path, text] of Object.entries(files))
      writeFileSync(path, text, { mode: path.endsWith('.new') ? tooOpen : 0o600 })
    const { authority } = await start()
    if (files[paths.authority]) expect(authority.certificate).toBe(made.certificate)
    if (files[paths.server]) expect(readFileSync(paths.server, 'utf8')).toBe(made.server)
    const held = readFileSync(paths.server, 'utf8')
    const leaf = new X509Certificate(held)
    expect(leaf.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true)
    expect(leaf.checkPrivateKey(createPrivateKey(held))).toBe(true)
    expect([paths.authorityKey, paths.server].map((path) => statSync(path).mode & 0o777)).toEqual([
      0o600, 0o600,
    ])
    expect((await start()).authority.certificate).toBe(authority.certificate)
  },
)

test.each(['authority', 'authorityKey'] as const)(
  'a hub that had an authority and lost its %s makes no other',
  async (lost) => {
    await start()
    const other = lost === 'authority' ? paths.authorityKey : paths.authority
    const kept = readFileSync(other, 'utf8')
    rmSync(paths[lost])
    await expect(start()).rejects.toMatchObject({
      code: 'bad-authority',
      message: expect.stringMatching(/backup/),
    })
    expect([existsSync(paths[lost]), readFileSync(other, 'utf8')]).toEqual([false, kept])
  },
)

test('a certificate that the disk has spoiled is made anew by the same authority', async () => {
  const { authority } = await start()
  writeFileSync(paths.server, half(readFileSync(paths.server, 'utf8')))
  expect((await start()).authority.certificate).toBe(authority.certificate)
})
