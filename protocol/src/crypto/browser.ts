import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js'
import nacl from 'tweetnacl'
import type { Primitives } from './primitives.ts'

export const sha256: Primitives['sha256'] = (bytes) => nobleSha256(bytes)

export const sha512: Primitives['sha512'] = (bytes) => nobleSha512(bytes)

export const ed25519Verify: Primitives['ed25519Verify'] = (publicKey, message, signature) =>
  nacl.sign.detached.verify(message, signature, publicKey)

export const ed25519Sign: Primitives['ed25519Sign'] = (seed32, message) =>
  nacl.sign.detached(message, nacl.sign.keyPair.fromSeed(seed32).secretKey)

export const ed25519PublicKey: Primitives['ed25519PublicKey'] = (seed32) =>
  nacl.sign.keyPair.fromSeed(seed32).publicKey
