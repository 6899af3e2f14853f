import { createPublicKey, verify } from 'node:crypto'
import { fromAnyBase64, preAuthEncoding, toBase64 } from '@godwit/hub/oms/dsse'
import { expect, test } from 'vitest'

const body = Buffer.from('hello world')
const type = 'http://example.com/HelloWorld'

test('the pre-authentication encoding of the DSSE specification', () => {
  const expected = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
  expect(Buffer.from(preAuthEncoding(type, body)).toString()).toBe(expected)
})

test('lengths are counted in bytes', () => {
  expect(Buffer.from(preAuthEncoding('ü', Buffer.from('é'))).toString()).toBe('DSSEv1 2 ü 2 é')
})

test("the DSSE specification's signature verifies", () => {
  const coordinate = (n: bigint) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex').toString('base64url')
  const key = createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: coordinate(46950820868899156662930047687818585632848591499744589407958293238635476079160n),
      y: coordinate(5640078356564379163099075877009565129882514886557779369047442380624545832820n),
    },
  })
  const sig = 'A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=='
  const given = { key, dsaEncoding: 'ieee-p1363' as const }
  expect(verify('sha256', preAuthEncoding(type, body), given, fromAnyBase64(sig)!)).toBe(true)
})

test('base64 is read in both alphabets, and nothing else is', () => {
  const bytes = Uint8Array.from([251, 255, 254, 1])
  const url = Buffer.from(bytes).toString('base64url')
  expect(fromAnyBase64(toBase64(bytes))).toEqual(bytes)
  expect(fromAnyBase64(url)).toEqual(bytes)
  for (const text of ['a', '+_==', 'YQ==\n', 'Y!==', 'YQ===']) expect(fromAnyBase64(text)).toBeUndefined()
})
