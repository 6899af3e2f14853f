import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publicKeyOf } from '@godwit/protocol/trust/ed25519'
import { toHex } from '@godwit/protocol/trust/encoding'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'
import { godwitFor } from './godwit.ts'

let box: Box
let directory: string
let godwit: ReturnType<typeof godwitFor>
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  directory = scratch()
  godwit = godwitFor(box, directory)
})
afterEach(() => box.close())

const keyOf = (n: number) => toHex(publicKeyOf(Buffer.alloc(32, `seed ${n}`)))
const registered = async () =>
  (await box.hub.services.waitingRoom.registered()).map(({ deviceId, publicKey, labels }) => ({
    ...{ deviceId, publicKey, labels },
  }))
function file(name: string, ...lines: string[]): string {
  const path = join(directory, name)
  writeFileSync(path, lines.join('\n'))
  return path
}

describe('godwit device register', () => {
  test('takes a key by itself, from a file, and as the device prints it', async () => {
    await godwit('device', 'register', 'a', '--key', keyOf(1))
    await godwit('device', 'register', 'b', '--key', file('b.key', keyOf(2), ''))
    const printed = file('c.json', JSON.stringify({ publicKey: keyOf(3), fingerprint: 'x' }, null, 2))
    await godwit('device', 'register', 'c', '--key', printed, '--label', 'line=3')
    expect(await registered()).toEqual([
      { deviceId: 'a', publicKey: keyOf(1), labels: {} },
      { deviceId: 'b', publicKey: keyOf(2), labels: {} },
      { deviceId: 'c', publicKey: keyOf(3), labels: { line: '3' } },
    ])
    const { stdout } = await godwit('device', 'registered')
    expect(stdout).toContain(keyOf(3))
    expect((await godwit('device', 'unregister', printed)).code).toBe(0)
    expect(await registered()).toHaveLength(2)
  })

  test.each([
    [
      'JSON lines',
      (n: number) => JSON.stringify({ deviceId: `cam-${n}`, publicKey: keyOf(n), labels: { lot: '7' } }),
      [],
    ],
    [
      'CSV as a spreadsheet writes it',
      (n: number) => `7,cam-${n},${keyOf(n)}\r`,
      ['\uFEFFlot,deviceId,publicKey\r'],
    ],
  ] as const)('takes a list of a factory in %s', async (_, lineOf, head) => {
    const path = file('lot', ...head, lineOf(1), lineOf(2), '')
    expect(await godwit('device', 'register', '--file', path)).toMatchObject({
      code: 0,
      stdout: /registered 2/,
    })
    expect(await registered()).toEqual([
      { deviceId: 'cam-1', publicKey: keyOf(1), labels: { lot: '7' } },
      { deviceId: 'cam-2', publicKey: keyOf(2), labels: { lot: '7' } },
    ])
  })

  test.each([
    ['another second column', ['deviceId,key', `a,${keyOf(1)}`], /line 1: expected the columns/],
    [
      'a row that is too short',
      ['deviceId,publicKey', `a,${keyOf(1)}`, 'b'],
      /line 3: expected 2 columns, found 1/,
    ],
    ['quotes', ['deviceId,publicKey', `"a",${keyOf(1)}`], /line 2: quotes/],
    [
      'a line that is no JSON',
      [JSON.stringify({ deviceId: 'a', publicKey: keyOf(1) }), '{"deviceId"'],
      /line 2/,
    ],
    ['nothing', [''], /found none/],
  ])('names the line of a list with %s, and registers none', async (_, lines, message) => {
    const { code, stderr } = await godwit('device', 'register', '--file', file('lot', ...lines))
    expect(code).not.toBe(0)
    expect(stderr).toMatch(message)
    expect(await registered()).toEqual([])
  })

  test('registers none of a list in which one key is taken, and says which', async () => {
    await godwit('device', 'register', 'a', '--key', keyOf(1))
    const path = file('lot.csv', 'deviceId,publicKey', `b,${keyOf(2)}`, `a,${keyOf(3)}`)
    const { code, stderr } = await godwit('device', 'register', '--file', path)
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/a belongs to another key/)
    expect(await registered()).toHaveLength(1)
  })

  test('takes more keys than go into one request, and the same list again after a refusal', async () => {
    const lines = Array.from({ length: 1_200 }, (_, n) => `cam-${n},${keyOf(n)}`)
    const head = 'deviceId,publicKey'
    const wrong = file('wrong.csv', head, ...lines.slice(0, 1_100), 'cam-x,no-key', ...lines.slice(1_100))
    expect((await godwit('device', 'register', '--file', wrong)).code).not.toBe(0)
    expect(await registered()).toHaveLength(1_000)
    expect(await godwit('device', 'register', '--file', file('lot.csv', head, ...lines))).toMatchObject({
      code: 0,
    })
    expect(await registered()).toHaveLength(1_200)
  })
})

test('godwit device join-config is what a device without a token is configured with', async () => {
  const { stdout } = await godwit('device', 'join-config')
  expect(stdout).toMatch(/^join:\n {2}hubUrl: http:\/\/127\.0\.0\.1:\d+\n {2}rootSha256: [0-9a-f]{64}\n$/)
})

test('godwit device reject and approve take the fingerprint as it is read out', async () => {
  const { waitingRoom } = box.hub.services
  const publicKey = toHex(publicKeyOf(seedOf(11)))
  await box.hub.services.database.transaction((trx) =>
    waitingRoom.wait(trx, { publicKey, wantedId: 'cam', address: '10.0.0.7' }),
  )
  const [waiting] = JSON.parse((await godwit('device', 'pending', '--json')).stdout)
  const parts = waiting.fingerprint.split(' ')
  expect((await godwit('device', 'reject', ...parts)).code).toBe(0)
  expect((await godwit('device', 'pending')).stdout).toContain('rejected')
  expect((await godwit('device', 'approve', waiting.fingerprint.toUpperCase(), '--label', 'a=b')).code).toBe(
    0,
  )
  expect(await registered()).toEqual([{ deviceId: 'cam', publicKey, labels: { a: 'b' } }])
  expect((await godwit('device', 'approve', 'cam')).stderr).toMatch(/32 hexadecimal digits/)
})

test('godwit hub ca says whom to believe, and where there is nobody yet', async () => {
  const none = await godwit('hub', 'ca', 'show', '--state', box.stateDir)
  expect(none.stderr).toMatch(/no_authority/)
  const own = await newHub({ tls: { mode: 'hub' } })
  try {
    const { sha256 } = JSON.parse(
      (await godwit('hub', 'ca', 'show', '--state', own.stateDir, '--json')).stdout,
    )
    expect(sha256).toBe((await own.hub.services.enrolment.joinConfig()).caSha256)
    const { stdout } = await godwit('hub', 'ca', 'export', '--state', own.stateDir)
    expect(stdout).toMatch(/^-----BEGIN CERTIFICATE-----/)
    expect(stdout).not.toContain('PRIVATE')
  } finally {
    await own.close()
  }
})
