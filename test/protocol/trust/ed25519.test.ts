import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as browser from '@godwit/protocol/crypto/browser'
import * as node from '@godwit/protocol/crypto/node'
import { isSoundPublicKey, publicKeyOf, sign, verify } from '@godwit/protocol/trust/ed25519'
import { fromHex, toHex } from '@godwit/protocol/trust/encoding'
import { describe, expect, test } from 'vitest'

const bytes = (hex: string) => fromHex(hex)!
const backends = { node, browser }

/** RFC 8032 §7.1: TEST 1, TEST 2, TEST 3 and TEST SHA(abc). */
const rfc8032 = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
  {
    seed: '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
    publicKey: 'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
    message:
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    signature:
      'dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704',
  },
]

describe.each(Object.entries(backends))('%s', (_, backend) => {
  test.each(rfc8032)('keeps RFC 8032 for the seed $seed', ({ seed, publicKey, message, signature }) => {
    expect(toHex(backend.ed25519PublicKey(bytes(seed)))).toBe(publicKey)
    expect(toHex(backend.ed25519Sign(bytes(seed), bytes(message)))).toBe(signature)
    expect(verify(bytes(publicKey), bytes(message), bytes(signature), backend.ed25519Verify)).toBe(true)
  })

  test('hashes as FIPS 180-4 says', () => {
    const abc = new TextEncoder().encode('abc')
    expect(toHex(backend.sha256(abc))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
    expect(toHex(backend.sha512(abc))).toBe(rfc8032[3]!.message)
  })

  test('refuses wrong lengths without throwing', () => {
    const { publicKey, message, signature } = rfc8032[1]!
    for (const [key, sig] of [
      [publicKey.slice(2), signature],
      [`${publicKey}00`, signature],
      ['', signature],
      [publicKey, signature.slice(2)],
      [publicKey, `${signature}00`],
      [publicKey, ''],
    ] as const)
      expect(verify(bytes(key), bytes(message), bytes(sig), backend.ed25519Verify)).toBe(false)
  })

  test('refuses a signature with s + L, which says the same under another spelling', () => {
    const { publicKey, message, signature } = rfc8032[2]!
    const order = (1n << 252n) + 27742317777372353535851937790883648493n
    const s = fromLittleEndian(bytes(signature).subarray(32)) + order
    const rewritten = bytes(signature.slice(0, 64) + toHex(toLittleEndian(s)))
    expect(verify(bytes(publicKey), bytes(message), rewritten, backend.ed25519Verify)).toBe(false)
  })

  test('refuses the all-zero key with the all-zero signature for every message', () => {
    for (let i = 0; i < 32; i++) {
      const message = new Uint8Array([i])
      const isValid = verify(new Uint8Array(32), message, new Uint8Array(64), backend.ed25519Verify)
      expect(isValid).toBe(false)
    }
  })
})

test('never throws, whatever it is handed', () => {
  const { publicKey, message, signature } = rfc8032[0]!
  const throwing = () => {
    throw new Error('unexpected type, use Uint8Array')
  }
  expect(verify(bytes(publicKey), bytes(message), bytes(signature), throwing)).toBe(false)
  expect(verify(undefined as unknown as Uint8Array, bytes(message), bytes(signature))).toBe(false)
})

test('signs and reads its own keys only from seeds of 32 bytes', () => {
  expect(() => sign(new Uint8Array(31), new Uint8Array())).toThrow('32 bytes, this one has 31')
  expect(() => publicKeyOf(new Uint8Array(64))).toThrow('32 bytes, this one has 64')
})

test('refuses exactly the eight keys of small order, in both signs, and keys that are not canonical', () => {
  const small = torsion()
  expect(small).toHaveLength(8)
  for (const point of small) expect(isSoundPublicKey(encode(point))).toBe(false)
  const p = (1n << 255n) - 19n
  for (const y of [p, p + 1n, p + 2n, (1n << 255n) - 1n])
    expect(isSoundPublicKey(toLittleEndian(y))).toBe(false)
  for (const { publicKey } of rfc8032) expect(isSoundPublicKey(bytes(publicKey))).toBe(true)
})

const wycheproof = resolve(import.meta.dirname, '../../../../shared/data/crypto/wycheproof_ed25519_test.json')

describe.skipIf(!existsSync(wycheproof))('the Wycheproof cases (skipped where ../shared is absent)', () => {
  type Group = {
    publicKey: { pk: string }
    tests: { tcId: number; msg: string; sig: string; result: string; comment: string }[]
  }
  const load = () => (JSON.parse(readFileSync(wycheproof, 'utf8')) as { testGroups: Group[] }).testGroups

  test('are 151, and both backends give the verdict that is expected of each', () => {
    let cases = 0
    for (const group of load()) {
      const publicKey = bytes(group.publicKey.pk)
      for (const { tcId, msg, sig, result, comment } of group.tests) {
        const expected = result === 'valid'
        for (const [name, backend] of Object.entries(backends)) {
          const found = verify(publicKey, bytes(msg), bytes(sig), backend.ed25519Verify)
          expect(found, `${name}: case ${tcId}, ${comment}`).toBe(expected)
        }
        cases++
      }
    }
    expect(cases).toBe(151)
  })
})

// The curve of RFC 8032 §5.1 in a few lines, to compute the torsion points instead of believing a list.

type Point = { x: bigint; y: bigint }
const prime = (1n << 255n) - 19n
const mod = (a: bigint) => ((a % prime) + prime) % prime

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) result = mod(result * b)
  return result
}

function add(a: Point, b: Point): Point {
  const d = mod(-121665n * power(121666n, prime - 2n))
  const product = mod(d * a.x * b.x * a.y * b.y)
  return {
    x: mod((a.x * b.y + b.x * a.y) * power(1n + product, prime - 2n)),
    y: mod((a.y * b.y + a.x * b.x) * power(1n - product, prime - 2n)),
  }
}

function times(n: bigint, point: Point): Point {
  let result = { x: 0n, y: 1n }
  for (let p = point, e = n; e > 0n; e >>= 1n, p = add(p, p)) if (e & 1n) result = add(result, p)
  return result
}

/** L times any point has an order that divides 8; some point gives a generator of all eight. */
function torsion(): Point[] {
  const order = (1n << 252n) + 27742317777372353535851937790883648493n
  for (let y = 2n; ; y++) {
    const x = squareRoot(
      mod((y * y - 1n) * power(mod(mod(-121665n * power(121666n, prime - 2n)) * y * y + 1n), prime - 2n)),
    )
    if (x === undefined) continue
    const generator = times(order, { x, y })
    const points = Array.from({ length: 8 }, (_, i) => times(BigInt(i), generator))
    if (new Set(points.map(({ x, y }) => `${x},${y}`)).size === 8) return points
  }
}

function squareRoot(a: bigint): bigint | undefined {
  const candidate = power(a, (prime + 3n) / 8n)
  for (const root of [candidate, mod(candidate * power(2n, (prime - 1n) / 4n))])
    if (mod(root * root) === a) return root
  return undefined
}

function encode({ x, y }: Point): Uint8Array {
  return toLittleEndian(y | ((x & 1n) << 255n))
}

function toLittleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n))
}

function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}
