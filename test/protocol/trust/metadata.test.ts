import { ed25519Key } from '@godwit/protocol/trust/key'
import {
  ed25519Only,
  encodeEnvelope,
  keyIdOf,
  openEnvelope,
  openMetadata,
  type Signed,
  signatureOver,
  signDocument,
  verifyThreshold,
  withSignature,
} from '@godwit/protocol/trust/metadata'
import { describe, expect, test } from 'vitest'
import { signerOf, TufRepository } from '../../support/tuf-repository.ts'

const [anna, ben, cleo] = ['anna', 'ben', 'cleo'].map(signerOf) as [
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
]
const keys = Object.fromEntries([anna, ben, cleo].map(({ keyid, key }) => [keyid, key]))
const twoOfThree = { keyids: Object.keys(keys), threshold: 2 }
const document = { _type: 'note', text: 'hello', version: 1 }

function verdict(envelope: Signed<unknown>, role = twoOfThree, known = keys) {
  const found = verifyThreshold(envelope, known, role, ed25519Only)
  return found.trusted ? found.value : found.because
}

describe('a threshold', () => {
  const one = signDocument(document, anna.seed, anna.key)
  const two = withSignature(one, signatureOver(document, ben.seed, ben.key))

  test('is met by enough different keys, and says how many signed', () => {
    expect(verdict(one)).toBe('bad-signature')
    expect(verdict(two)).toBe(2)
    expect(verdict(withSignature(two, signatureOver(document, cleo.seed, cleo.key)))).toBe(3)
  })

  test('counts one key once, however often it signed', () => {
    const twice = { ...one, signatures: [...one.signatures, ...one.signatures] }
    expect(verdict(twice)).toBe('bad-signature')
    expect(openEnvelope(encodeEnvelope(twice), 'note')).toMatchObject({ because: 'malformed' })
  })

  test('counts one key once, even under several key ids', () => {
    const alias = { ...anna.key, note: 'the same key with another id' }
    const upper = ed25519Key(Buffer.from(anna.key.keyval.public, 'hex'))
    upper.keyval.public = upper.keyval.public.toUpperCase()
    const aliases = [anna.key, alias, upper]
    expect(new Set(aliases.map(keyIdOf)).size).toBe(3)
    const known = Object.fromEntries(aliases.map((key) => [keyIdOf(key), key]))
    const signatures = aliases.map((key) => signatureOver(document, anna.seed, key))
    const role = { keyids: Object.keys(known), threshold: 2 }
    expect(verdict({ signed: document, signatures }, role, known)).toBe('bad-signature')
    expect(verdict({ signed: document, signatures }, { ...role, threshold: 1 }, known)).toBe(1)
  })

  test('a key id listed twice in the role does not help', () => {
    expect(verdict(one, { keyids: [anna.keyid, anna.keyid], threshold: 2 })).toBe('bad-signature')
  })

  test('ignores strangers, broken signatures and kinds of key that it does not know', () => {
    const stranger = signerOf('stranger')
    const noisy = {
      signed: document,
      signatures: [
        signatureOver(document, stranger.seed, stranger.key),
        { keyid: cleo.keyid, sig: '' },
        { keyid: 'constructor', sig: '00' },
        { keyid: 'x', sig: 'no hex at all' },
        ...two.signatures,
      ],
    }
    expect(verdict(noisy)).toBe(2)
    const rsa = { keytype: 'rsa', scheme: 'rsassa-pss-sha256', keyval: { public: 'PEM' } }
    const known = { ...keys, [keyIdOf(rsa)]: rsa }
    const role = { keyids: Object.keys(known), threshold: 2 }
    expect(
      verdict({ ...one, signatures: [...one.signatures, { keyid: keyIdOf(rsa), sig: '00' }] }, role, known),
    ).toBe('bad-signature')
  })

  test('refuses a key that hides under an id which is not its own', () => {
    const known = { [ben.keyid]: anna.key }
    const forged = { signed: document, signatures: [{ ...one.signatures[0]!, keyid: ben.keyid }] }
    expect(verdict(forged, { keyids: [ben.keyid], threshold: 1 }, known)).toBe('bad-signature')
  })

  test('refuses a document changed after signing, in any field', () => {
    expect(verdict({ ...two, signed: { ...document, version: 2 } })).toBe('bad-signature')
    expect(verdict({ ...two, signed: { ...document, extra: null } })).toBe('bad-signature')
    expect(verdict({ ...two, signed: { ...document, version: 1.5 } })).toBe('malformed')
  })
})

test('an envelope whose texts hold line feeds and tabs travels as JSON, and its signature stands', () => {
  const text = 'first\nsecond\tand \u0000 "\\'
  const bytes = encodeEnvelope(signDocument({ _type: 'note', text }, anna.seed, anna.key))
  const read = openEnvelope(bytes, 'note')
  expect(read).toMatchObject({ trusted: true, value: { signed: { text } } })
  if (read.trusted) expect(verdict(read.value, { keyids: [anna.keyid], threshold: 1 })).toBe(1)
})

describe('reading metadata', () => {
  const rootWith = (change: (root: Record<string, unknown>) => void) => {
    const repository = new TufRepository()
    const signed = structuredClone(repository.root) as unknown as Record<string, unknown>
    change(signed)
    return openMetadata(encodeEnvelope(repository.sign('root', signed)), 'root', ed25519Only)
  }

  test('keeps fields it does not know, and custom role names', () => {
    const read = rootWith((root) => {
      root['x-note'] = { a: 1 }
      ;(root['roles'] as Record<string, unknown>)['director'] = { keyids: [], threshold: 1, note: 'ours' }
    })
    expect(read).toMatchObject({ trusted: true, value: { signed: { 'x-note': { a: 1 } } } })
    expect(read).toMatchObject({ value: { signed: { roles: { director: { threshold: 1 } } } } })
  })

  test.each<[string, (root: Record<string, unknown>) => void, string]>([
    ['no version', (root) => delete root['version'], 'malformed'],
    ['version 0', (root) => (root['version'] = 0), 'malformed'],
    ['a version as text', (root) => (root['version'] = '1'), 'malformed'],
    [
      'a threshold of 0',
      (root) => ((root['roles'] as never)['root'] = { keyids: [], threshold: 0 } as never),
      'malformed',
    ],
    [
      'no timestamp role',
      (root) => delete (root['roles'] as Record<string, unknown>)['timestamp'],
      'malformed',
    ],
    ['a date that is none', (root) => (root['expires'] = 'next year'), 'malformed'],
    ['a month that is none', (root) => (root['expires'] = '2026-13-01T00:00:00Z'), 'malformed'],
    ['a local date', (root) => (root['expires'] = '2030-01-01T00:00:00+01:00'), 'malformed'],
    ['another specification', (root) => (root['spec_version'] = '2.0.0'), 'wrong-spec-version'],
    ['another type', (root) => (root['_type'] = 'targets'), 'wrong-type'],
    [
      'a wrong key id',
      (root) => ((root['keys'] as Record<string, unknown>)['0'.repeat(64)] = anna.key),
      'malformed',
    ],
    [
      'a broken key behind a line feed',
      (root) => ((root['keys'] as Record<string, unknown>)['a\nb'] = 7),
      'malformed',
    ],
  ])('refuses a root with %s', (_, change, because) => {
    expect(rootWith(change)).toMatchObject({ trusted: false, because })
  })

  test('refuses duplicate keys anywhere in a document', () => {
    const repository = new TufRepository()
    const text = Buffer.from(repository.files.get('1.root.json')!).toString()
    const doubled = text.replace('"version":1', '"version":1,"version":2')
    expect(openMetadata(Buffer.from(doubled), 'root', ed25519Only)).toMatchObject({
      because: 'malformed',
      detail: expect.stringContaining('duplicate key "version"'),
    })
  })
})
