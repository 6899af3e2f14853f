import { readdirSync, readFileSync } from 'node:fs'
import * as browser from '@godwit/protocol/crypto/browser'
import * as node from '@godwit/protocol/crypto/node'
import { directive } from '@godwit/protocol/messages/directive'
import { enrolmentProofBytes, enrolmentRequest } from '@godwit/protocol/messages/enrolment'
import { keyRotation } from '@godwit/protocol/messages/key-rotation'
import { report } from '@godwit/protocol/messages/report'
import { batchSigningBytes, decodeBatch, decodeSealedBatch } from '@godwit/protocol/messages/telemetry'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText, parseStrict } from '@godwit/protocol/trust/canonical'
import { checkDeviceToken } from '@godwit/protocol/trust/device-token'
import { checkDirective } from '@godwit/protocol/trust/director'
import { publicKeyOf, verify } from '@godwit/protocol/trust/ed25519'
import { fromHex, toHex, utf8 } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, type Signed, signableBytes } from '@godwit/protocol/trust/envelope'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { ed25519Only, openMetadata } from '@godwit/protocol/trust/metadata'
import { describe, expect, test } from 'vitest'

const directory = new URL('../../../protocol/vectors/', import.meta.url)
const read = (name: string) => JSON.parse(readFileSync(new URL(name, directory), 'utf8'))
const spec = readFileSync(new URL('../SPEC.md', directory), 'utf8')

type Key = { name: string; seed: string; publicKey: string; key: object; canonical: string; keyid: string }
const { keys } = read('keys.json') as { keys: Key[] }
const keyNamed = (name: string) => keys.find((key) => key.name === name)!

describe('keys', () => {
  test.each(keys)('$name', ({ seed, publicKey, key, canonical, keyid }) => {
    expect(toHex(publicKeyOf(fromHex(seed)!))).toBe(publicKey)
    expect(keyOfSeed(fromHex(seed)!)).toEqual(key)
    expect(canonicalText(key)).toBe(canonical)
    expect(keyIdOf(keyOfSeed(fromHex(seed)!))).toBe(keyid)
    expect(sha256Hex(utf8(canonical))).toBe(keyid)
  })
})

describe('canonical JSON', () => {
  const { valid, refused, refusedBytes } = read('canonical.json')

  test.each(valid as { why: string; json: string; canonical: string; sha256: string }[])(
    '$why',
    ({ json, canonical, sha256 }) => {
      const parsed = parseStrict(utf8(json))
      expect(parsed).toMatchObject({ ok: true })
      if (parsed.ok) expect(canonicalText(parsed.value)).toBe(canonical)
      expect(sha256Hex(utf8(canonical))).toBe(sha256)
    },
  )

  test.each(refused as { why: string; json: string }[])('refuses $why', ({ json }) => {
    const parsed = parseStrict(utf8(json))
    expect(parsed.ok && signableBytes(parsed.value).trusted).toBe(false)
  })

  test.each(refusedBytes as { why: string; hex: string }[])('refuses $why', ({ hex }) => {
    expect(parseStrict(fromHex(hex)!)).toMatchObject({ ok: false })
  })
})

type Message = {
  name: string
  signedBy: string[]
  document: Record<string, unknown>
  signedText?: string
  signedHex?: string
  sha256: string
  signatures: string[]
  wire?: string
  wireHex?: string
  wireSha256: string
}
const { messages } = read('messages.json') as { messages: Message[] }
const signedBytes = ({ signedText, signedHex }: Message) =>
  signedText === undefined ? fromHex(signedHex!)! : utf8(signedText)
const wireBytes = ({ wire, wireHex }: Message) => (wire === undefined ? fromHex(wireHex!)! : utf8(wire))
const messageNamed = (name: string) => messages.find((message) => message.name === name)!

describe.each(messages)('$name', (message) => {
  test('has these digests and these signatures, by either library', () => {
    expect(sha256Hex(signedBytes(message))).toBe(message.sha256)
    expect(sha256Hex(wireBytes(message))).toBe(message.wireSha256)
    for (const [i, who] of message.signedBy.entries()) {
      const { seed, publicKey } = keyNamed(who)
      for (const backend of [node, browser]) {
        expect(toHex(backend.ed25519Sign(fromHex(seed)!, signedBytes(message)))).toBe(message.signatures[i])
        const signature = fromHex(message.signatures[i]!)!
        expect(verify(fromHex(publicKey)!, signedBytes(message), signature, backend.ed25519Verify)).toBe(true)
      }
    }
  })

  test('is signed over its canonical form where it is an envelope', () => {
    if (!message.wire?.startsWith('{"signatures"')) return
    const parsed = parseStrict(wireBytes(message))
    expect(parsed).toMatchObject({ ok: true, value: { signed: message.document } })
    expect(canonicalText(message.document)).toBe(message.signedText)
    // What travels differs from it in control characters alone, which are no JSON as they are.
    if (parsed.ok)
      expect(toHex(encodeEnvelope(parsed.value as Signed<unknown>))).toBe(toHex(wireBytes(message)))
  })
})

test('directive, reports and key rotation are documents of this version', () => {
  for (const [name, document] of [
    ['directive', directive],
    ['report', report],
    ['report of a failure in two lines', report],
    ['key rotation', keyRotation],
  ] as const)
    expect(document.check(messageNamed(name).document), name).toMatchObject({ ok: true })
})

test('the device token opens what it says it does', () => {
  const { document, wire } = messageNamed('device token')
  const expected = {
    fleet: 'plant',
    deviceId: 'cam-7',
    audience: 'mqtt',
    now: document['issuedAt'] as number,
  }
  expect(checkDeviceToken(wire!, fromHex(keyNamed('device').publicKey)!, expected)).toMatchObject({
    trusted: true,
  })
})

test.each(messages.filter(({ name }) => name.startsWith('enrolment proof')))(
  '$name is over its lines',
  (message) => {
    const request = enrolmentRequest.check(message.document)
    expect(request).toMatchObject({ ok: true })
    if (request.ok) expect(toHex(enrolmentProofBytes(request.value))).toBe(toHex(signedBytes(message)))
  },
)

test('the sealed batch opens into what it was made of', () => {
  const message = messageNamed('sealed batch')
  const sealed = decodeSealedBatch(wireBytes(message))
  expect(sealed).toMatchObject({ ok: true })
  if (!sealed.ok) return
  expect(toHex(batchSigningBytes(sealed.value.payload))).toBe(message.signedHex)
  expect(decodeBatch(sealed.value.payload)).toEqual({ ok: true, value: message.document })
})

describe('a device that holds directive 4', () => {
  const { root: rootText, fleet, deviceId, now, applied, cases } = read('directives.json')
  const root = openMetadata(utf8(rootText), 'root', ed25519Only)

  test.each(cases as { why: string; envelope: string; verdict: string }[])(
    '$verdict: $why',
    ({ envelope, verdict }) => {
      if (!root.trusted) throw new Error(root.detail)
      const expected = { fleet, deviceId, now: Date.parse(now), applied }
      const found = checkDirective(utf8(envelope), root.value.signed, expected)
      const outcome = found.trusted ? (found.value.unchanged ? 'unchanged' : 'take') : found.because
      expect(outcome).toBe(verdict)
    },
  )
})

test('the worked example of the SPEC is the timestamp of these vectors', () => {
  const { signedText, sha256, signatures, signedBy } = messageNamed('timestamp')
  for (const shown of [
    signedText!,
    sha256,
    signatures[0]!,
    keyNamed(signedBy[0]!).canonical,
    keyNamed(signedBy[0]!).keyid,
  ])
    expect(spec.replaceAll(/\s/g, '')).toContain(shown)
})

test('the README names every file of vectors, and no other', () => {
  const files = readdirSync(directory).filter((name) => name.endsWith('.json'))
  const named = [...readFileSync(new URL('README.md', directory), 'utf8').matchAll(/^\| `([\w-]+\.json)`/gm)]
  expect(named.map(([, name]) => name).sort()).toEqual(files.sort())
})
