import { readFileSync } from 'node:fs'
import { isSoundPublicKey } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { ed25519Key, type Key, keyIdOf } from '@godwit/protocol/trust/key'
import { type OnlineRole, onlineRoles } from '../trust/hub-keys.ts'
import { CliError } from './exit.ts'

export const publicKeyFormat = 'godwit-public-key/1'
export const hubPublicKeysFormat = 'godwit-hub-public-keys/1'

/** What is handed to whoever makes the root. */
export function publicKeyDocument(key: Key) {
  return { format: publicKeyFormat, keyid: keyIdOf(key), keytype: key.keytype, public: key.keyval.public }
}

/** Takes a public half as `godwit key public` prints it, or a sealed key file, whose public half is not secret. */
export function readPublicKey(path: string): Key {
  const found = readJson(path) as { keyid?: unknown; public?: unknown } | null
  const key = keyOfHex(found?.public)
  if (!key)
    throw new CliError(
      'failure',
      'public_key_malformed',
      `${path}: expected an Ed25519 public key as 64 hex digits in "public", found ${JSON.stringify(found?.public) ?? 'none'}`,
      'godwit key public FILE prints one',
    )
  // The id is what people read to each other: a file whose label was exchanged must not pass.
  if (found?.keyid !== keyIdOf(key))
    throw new CliError(
      'verification',
      'public_key_mislabelled',
      `${path}: expected key id ${keyIdOf(key)}, found ${String(found?.keyid)}`,
    )
  return key
}

export function readPublicKeys(paths: readonly string[]): Key[] {
  const keys = paths.map(readPublicKey)
  refuseTwice(keys)
  return keys
}

export function refuseTwice(keys: readonly Key[]): void {
  const ids = keys.map(keyIdOf)
  const twice = ids.find((id, at) => ids.indexOf(id) !== at)
  if (twice === undefined) return
  throw new CliError(
    'usage',
    'key_twice',
    `the same key was given twice: ${twice}`,
    'a threshold counts different keys',
  )
}

export function hubPublicKeysDocument(keys: Record<OnlineRole, Key>) {
  const halves = onlineRoles.map((role) => [role, publicKeyDocument(keys[role])] as const)
  return { format: hubPublicKeysFormat, ...Object.fromEntries(halves) }
}

/** What `godwit hub keys` wrote. */
export function readHubPublicKeys(path: string): Record<OnlineRole, Key> {
  const found = readJson(path) as
    | ({ format?: unknown } & Record<OnlineRole, { public?: unknown } | undefined>)
    | null
  const keys = onlineRoles.map((role) => {
    const key = keyOfHex(found?.[role]?.public)
    if (key && found?.format === hubPublicKeysFormat) return [role, key] as const
    throw new CliError(
      'failure',
      'hub_keys_malformed',
      `${path}: expected the hub's public keys, found no key for ${role} in ${hubPublicKeysFormat}`,
      'godwit hub keys --out FILE, on the machine of the hub',
    )
  })
  return Object.fromEntries(keys) as Record<OnlineRole, Key>
}

export function keyOfHex(text: unknown): Key | undefined {
  const bytes = typeof text === 'string' ? fromHex(text) : undefined
  return bytes && isSoundPublicKey(bytes) ? ed25519Key(bytes) : undefined
}

export function readJson(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new CliError('notFound', 'file_missing', `cannot read ${path}: ${(cause as Error).message}`)
  }
  try {
    return JSON.parse(text)
  } catch {
    throw new CliError('failure', 'file_malformed', `${path}: expected JSON, found something else`)
  }
}
