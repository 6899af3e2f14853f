import { canonicalText } from '@godwit/protocol/trust/canonical'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { fromHex, toHex, utf8 } from '@godwit/protocol/trust/encoding'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'

/** RFC 8032, 7.1: everybody can check them, and nobody will take them for real ones. */
const seeds = {
  publisher: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
  director: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
  device: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
}
export type KeyName = keyof typeof seeds

export function seedOf(name: KeyName): Uint8Array {
  return fromHex(seeds[name])!
}

export function keyNamed(name: KeyName) {
  const key = keyOfSeed(seedOf(name))
  return { key, keyid: keyIdOf(key), publicKey: toHex(publicKeyOf(seedOf(name))) }
}

/** In hexadecimal. */
export function signatureBy(name: KeyName, what: string | Uint8Array): string {
  return toHex(sign(seedOf(name), typeof what === 'string' ? utf8(what) : what))
}

export function keysVectors() {
  const names = Object.keys(seeds) as KeyName[]
  return {
    about:
      'SPEC 1.3 and 3.3: the keys of RFC 8032, for tests only. keyid is the SHA-256 of the canonical key object.',
    keys: names.map((name, index) => {
      const { key, keyid, publicKey } = keyNamed(name)
      const rfc8032 = `7.1 TEST ${index + 1}`
      return { name, rfc8032, seed: seeds[name], publicKey, key, canonical: canonicalText(key), keyid }
    }),
  }
}
