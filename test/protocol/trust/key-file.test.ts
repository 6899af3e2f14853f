import { scryptSync } from 'node:crypto'
import { toBase64url, toHex } from '@godwit/protocol/trust/encoding'
import {
  keyDerivationDefault,
  nonceBytes,
  openKey,
  readKeyFile,
  saltOf,
  sealKey,
} from '@godwit/protocol/trust/key-file'
import { describe, expect, test } from 'vitest'
import { seedOf, signerOf } from '../../support/tuf-repository.ts'

const seed = seedOf('publisher')
const salt = seedOf('salt').subarray(0, 16)
const nonce = seedOf('nonce').subarray(0, nonceBytes)
/** The least that the format allows: the test is about the file, not about scrypt. */
const derivation = { kdf: 'scrypt', N: 2 ** 14, r: 8, p: 1, salt: toBase64url(salt) } as const
const derive = (passphrase: string) =>
  Uint8Array.from(scryptSync(passphrase, salt, 32, { N: derivation.N, r: derivation.r, p: derivation.p }))
const derived = derive('correct horse')
const file = sealKey(seed, derived, nonce, derivation)
const encode = (value: unknown) => Buffer.from(JSON.stringify(value))

describe('a key file', () => {
  test('gives the seed back to whoever knows the passphrase', () => {
    const read = readKeyFile(encode(file))
    expect(read).toMatchObject({ trusted: true, value: { keyid: signerOf('publisher').keyid } })
    expect(saltOf(file)).toEqual(salt)
    expect(openKey(file, derived)).toEqual({ trusted: true, value: seed })
  })

  test('never holds the seed in the clear', () => {
    const text = JSON.stringify(file)
    for (const spelled of [toHex(seed), toBase64url(seed), Buffer.from(seed).toString('base64')])
      expect(text).not.toContain(spelled)
  })

  test('says "wrong passphrase" and nothing more to others', () => {
    expect(openKey(file, derive('incorrect horse'))).toMatchObject({ because: 'wrong-passphrase' })
  })

  test('with a damaged box, nonce or label is refused', () => {
    const other = signerOf('other')
    const damaged = { ...file, encrypted: { ...file.encrypted, box: `A${file.encrypted.box.slice(1)}` } }
    expect(openKey(damaged, derived)).toMatchObject({ because: 'wrong-passphrase' })
    const short = { ...file, encrypted: { ...file.encrypted, nonce: 'AAAA' } }
    expect(openKey(short, derived)).toMatchObject({ because: 'malformed' })
    expect(openKey({ ...file, public: other.key.keyval.public }, derived)).toMatchObject({
      because: 'malformed',
    })
    expect(openKey({ ...file, keyid: other.keyid }, derived)).toMatchObject({ because: 'malformed' })
  })

  test.each<[string, object]>([
    ['too weak', { N: 2 }],
    ['made to eat all memory', { N: 2 ** 30 }],
    ['with another block size', { r: 1024 }],
    ['made to take for ever', { p: 10_000 }],
    ['of an unknown kind', { kdf: 'md5' }],
    ['without a salt', { salt: '' }],
  ])('whose derivation is %s is refused before anything is derived', (_, change) => {
    const bytes = encode({ ...file, encrypted: { ...file.encrypted, ...change } })
    expect(readKeyFile(bytes)).toMatchObject({ because: 'malformed' })
  })

  test('of another format, or cut short, is refused', () => {
    expect(readKeyFile(encode({ ...file, format: 'godwit-key/2' }))).toMatchObject({ because: 'malformed' })
    expect(readKeyFile(encode(file).subarray(0, 100))).toMatchObject({ because: 'malformed' })
  })

  test('default derivation stays within what the format admits', () => {
    const bytes = encode({ ...file, encrypted: { ...file.encrypted, ...keyDerivationDefault } })
    expect(readKeyFile(bytes)).toMatchObject({ trusted: true })
  })

  test('sealing with a key or nonce of the wrong length is a fault', () => {
    expect(() => sealKey(seed, derived.subarray(1), nonce, derivation)).toThrow('derived key has 32 bytes')
    expect(() => sealKey(seed, derived, nonce.subarray(1), derivation)).toThrow('nonce has 24 bytes')
  })
})
