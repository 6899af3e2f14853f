import { ecPrivateKey, ecPublicKey, publicPemOf } from '@godwit/hub/oms/ec-key'
import { newEcKey } from '@godwit/hub/oms/new-key'
import { expect, test } from 'vitest'

test('a new key opens with its passphrase and with no other', () => {
  const { privatePem, publicPem } = newEcKey('correct horse')
  expect(privatePem).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
  expect(publicPemOf(ecPrivateKey(privatePem, 'correct horse'))).toBe(publicPem)
  for (const wrong of ['incorrect', '', undefined])
    expect(() => ecPrivateKey(privatePem, wrong)).toThrow('no readable private key')
})

test('where a public key is asked for, a private one is refused', () => {
  const { privatePem, publicPem } = newEcKey('correct horse')
  expect(() => ecPublicKey(privatePem)).toThrow('found a private one')
  expect(publicPemOf(ecPublicKey(publicPem))).toBe(publicPem)
})
