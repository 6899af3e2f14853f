import { createHash, randomBytes } from 'node:crypto'

/** 160 bits: nobody guesses it, so a plain hash at rest is enough and no slow one is needed. */
const secretBytes = 20
const checksumDigits = 6
const tokenPrefix = 'godwit_pat_'
const tokenPattern = new RegExp(`^${tokenPrefix}([0-9a-f]{${2 * secretBytes}})([0-9a-f]{${checksumDigits}})$`)

export function newSecret(): string {
  return randomBytes(secretBytes).toString('hex')
}

/** What the store holds instead of a secret. */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Prefix and checksum let a secret scanner find a leaked token, and tell it from a random string. */
export function newToken(): string {
  const body = newSecret()
  return `${tokenPrefix}${body}${checksumOf(body)}`
}

/** A mistyped token is recognised here, before the store is asked. */
export function isToken(text: string): boolean {
  const match = tokenPattern.exec(text)
  return match !== null && checksumOf(match[1]!) === match[2]
}

function checksumOf(body: string): string {
  return hashOfSecret(tokenPrefix + body).slice(0, checksumDigits)
}
