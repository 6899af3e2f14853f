import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Desk, signerScript } from './ceremony-desk.ts'

const desk = new Desk(mkdtempSync(join(tmpdir(), 'godwit-keys-')))
const seed = new Uint8Array(32).fill(7)
const hex = Buffer.from(seed).toString('hex')
const keyid = keyIdOf(keyOfSeed(seed))
const keys = ['--keys', desk.file('keys')]
afterAll(() => rmSync(desk.directory, { recursive: true, force: true }))

describe('godwit key import', () => {
  test.each([
    ['hex', `${hex}\n`],
    ['raw', seed],
  ])('takes %s, seals it, and shows nothing of it', async (name, content) => {
    const from = desk.write(`${name}.seed`, content)
    const { stdout, stderr } = await desk.try('key', 'import', name, '--from', from, ...keys, '--json')
    expect(JSON.parse(stdout)).toMatchObject({ keyid })
    const path = desk.file(`keys/${name}.key.json`)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    for (const text of [stdout, stderr, readFileSync(path, 'utf8')]) expect(text).not.toContain(hex)
  })

  test('takes PEM from standard input', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const require = createRequire(import.meta.url)
    const bin = join(dirname(require.resolve('@godwit/hub/package.json')), 'bin', 'godwit.mjs')
    const { stdout, status } = spawnSync(
      process.execPath,
      [bin, 'key', 'import', 'pem', '--from', '-', ...keys, '--json'],
      {
        input: privateKey.export({ format: 'pem', type: 'pkcs8' }),
        env: desk.environment as NodeJS.ProcessEnv,
      },
    )
    expect(status).toBe(0)
    const expected = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')
    expect(JSON.parse(stdout.toString())).toMatchObject({ public: expected })
  })

  test.each([
    [
      'a P-256 key',
      () =>
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
          format: 'pem',
          type: 'pkcs8',
        }),
    ],
    [
      'encrypted PEM',
      () =>
        generateKeyPairSync('ed25519').privateKey.export({
          format: 'pem',
          type: 'pkcs8',
          cipher: 'aes-256-cbc',
          passphrase: 'x',
        }),
    ],
    ['33 bytes', () => new Uint8Array(33)],
  ])('refuses %s', async (_, content) => {
    const from = desk.write('bad.seed', content() as string)
    expect(await desk.refused('key', 'import', 'bad', '--from', from, ...keys)).toMatchObject({
      code: 'seed_malformed',
    })
  })

  test('never overwrites a key', async () => {
    const from = desk.write('again.seed', hex)
    expect(await desk.refused('key', 'import', 'hex', '--from', from, ...keys)).toMatchObject({
      code: 'key_exists',
    })
  })
})

test('the public half says its id, and one whose label was exchanged is refused', async () => {
  const found = await desk.godwit<Record<string, string>>('key', 'public', desk.file('keys/hex.key.json'))
  expect(found).toMatchObject({ format: 'godwit-public-key/1', keyid })
  const bent = desk.write('bent.pub.json', JSON.stringify({ ...found, keyid: '0'.repeat(64) }))
  expect(await desk.refused('key', 'public', bent)).toMatchObject({ code: 'public_key_mislabelled' })
})

describe('--signer-cmd', () => {
  const document = desk.file('root.json')
  const out = desk.file('hsm.sig.json')
  const signer = (name: string, flaw: string) =>
    `${process.execPath} ${desk.write(`${name}.mjs`, signerScript(hex, flaw))}`

  beforeAll(async () => {
    const pub = desk.write(
      'hsm.pub.json',
      JSON.stringify(await desk.godwit('key', 'public', '--signer-cmd', signer('good', ''))),
    )
    const hubKeys = desk.file('hub-public.json')
    await desk.godwit('hub', 'keys', '--state', desk.file('hub'), '--out', hubKeys)
    await desk.godwit(
      ...['trust', 'init', '--root-key', pub, '--targets-key', pub, '--hub-keys', hubKeys],
      ...['--out', document, '--targets-out', desk.file('targets.json')],
    )
  })

  test.each([
    ['ends with an error', 'process.exit(3)', 'signer_failed', 'expected exit status 0, found 3'],
    ['answers no JSON', "console.log('hello'); process.exit()", 'signer_failed', 'expected one JSON object'],
    [
      'signs something else',
      "request.message = Buffer.from('other').toString('base64')",
      'signature_invalid',
      'does not verify',
    ],
    ['signs with another key', "request.keyid = 'ff'", 'signer_failed', `expected keyid ${keyid}`],
    [
      'has a key of small order',
      "console.log(JSON.stringify({ public: '0'.repeat(64) })); process.exit()",
      'signer_failed',
      'expected an Ed25519 public key',
    ],
  ])('a signer that %s is refused', async (name, flaw, code, words) => {
    const command = signer(name.replaceAll(' ', '-'), flaw)
    expect(await desk.refused('sign', document, '--signer-cmd', command, '--out', out)).toMatchObject({
      code,
      message: expect.stringContaining(words),
    })
  })

  test('a signer is not told the token of the hub, nor the passphrase of other keys', async () => {
    desk.environment['GODWIT_TOKEN'] = 'godwit_pat_secret'
    const command = signer(
      'nosy',
      'if (process.env.GODWIT_TOKEN || process.env.GODWIT_PASSPHRASE) process.exit(9)',
    )
    await desk.godwit('sign', document, '--signer-cmd', command, '--out', out)
    expect(desk.json<{ signatures: unknown[] }>('hsm.sig.json').signatures).toHaveLength(1)
  })
})

describe('godwit trust init', () => {
  const pub = () => desk.file('hsm.pub.json')
  const init = (...more: string[]) =>
    desk.refused(
      ...['trust', 'init', '--hub-keys', desk.file('hub-public.json'), '--targets-key', pub()],
      ...['--out', desk.file('n.json'), '--targets-out', desk.file('m.json'), ...more],
    )
  test.each([
    ['a threshold beyond the keys', ['--root-threshold', '2'], 'threshold_impossible'],
    ['the same key twice', [desk.file('hsm.pub.json')], 'key_twice'],
  ])('refuses %s', async (_, more, code) => {
    expect(await init('--root-key', pub(), ...more)).toMatchObject({ code })
  })

  test("refuses the hub's own keys as offline keys", async () => {
    const online = desk.json<{ snapshot: object }>('hub-public.json').snapshot
    const file = desk.write('online.pub.json', JSON.stringify(online))
    expect(await init('--root-key', file)).toMatchObject({ code: 'key_online' })
  })
})
