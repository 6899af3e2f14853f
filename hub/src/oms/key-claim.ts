import { createPublicKey } from 'node:crypto'
import type { KeyClaim } from './bundle.ts'
import { ecPublicKey, hintOf } from './ec-key.ts'

/** Of a key that came along, no more than its name is taken. */
export function hintOfClaim(claim: KeyClaim): string | undefined {
  if ('hint' in claim) return claim.hint
  if (!('rawBytes' in claim)) return undefined
  const { rawBytes } = claim
  const isText = Buffer.from(rawBytes).includes('-----BEGIN')
  try {
    const der = { key: Buffer.from(rawBytes), format: 'der', type: 'spki' } as const
    return hintOf(isText ? ecPublicKey(Buffer.from(rawBytes).toString('utf8')) : createPublicKey(der))
  } catch {
    return undefined
  }
}
