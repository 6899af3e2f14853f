import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { seedBytes } from '@godwit/protocol/trust/ed25519'
import { fromBase64url, fromHex } from '@godwit/protocol/trust/encoding'
import { CliError } from './exit.ts'

/** A private key made elsewhere. Never from an argument: those stand in the process list. `-` is standard input. */
export function readSeed(path: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path === '-' ? 0 : path)
  } catch (cause) {
    throw new CliError('notFound', 'file_missing', `cannot read ${path}: ${(cause as Error).message}`)
  }
  return seedIn(bytes, path)
}

/** 32 raw bytes, 64 hex digits, or PEM with an unencrypted PKCS #8 Ed25519 key. Says nothing of what it found. */
export function seedIn(bytes: Uint8Array, what: string): Uint8Array {
  const text = new TextDecoder().decode(bytes).trim()
  const seed = text.startsWith('-----BEGIN') ? seedOfPem(text, what) : fromHex(text.toLowerCase())
  if (seed?.length === seedBytes) return seed
  if (bytes.length === seedBytes) return Uint8Array.from(bytes)
  throw malformed(what, `${bytes.length} bytes of something else`)
}

function seedOfPem(pem: string, what: string): Uint8Array {
  let type: string | undefined
  let jwk: { d?: string }
  try {
    const key = createPrivateKey(pem)
    type = key.asymmetricKeyType
    jwk = type === 'ed25519' ? key.export({ format: 'jwk' }) : {}
  } catch {
    throw malformed(what, 'PEM that is encrypted, or no private key')
  }
  const seed = jwk.d === undefined ? undefined : fromBase64url(jwk.d)
  if (seed) return seed
  throw malformed(what, `a private key of type ${type}`)
}

function malformed(what: string, found: string): CliError {
  return new CliError(
    'failure',
    'seed_malformed',
    `${what}: expected 32 bytes, 64 hex digits, or a PEM PKCS #8 Ed25519 private key without a passphrase; found ${found}`,
  )
}
