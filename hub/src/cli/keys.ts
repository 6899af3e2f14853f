import { randomBytes, scrypt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fromHex, toBase64url } from '@godwit/protocol/trust/encoding'
import { ed25519Key, type Key, keyOfSeed } from '@godwit/protocol/trust/key'
import {
  derivedKeyBytes,
  type KeyDerivation,
  type KeyFile,
  keyDerivationDefault,
  nonceBytes,
  openKey,
  readKeyFile,
  saltOf,
  sealKey,
} from '@godwit/protocol/trust/key-file'
import type { Environment } from './context.ts'
import { CliError } from './exit.ts'

/** A private key of a publisher, open for the length of one command. */
export type OpenedKey = { seed: Uint8Array; key: Key; keyid: string }

/** Makes a key, seals it into a new file, and answers it open: deriving its passphrase's key again takes half a second. */
export function generateKey(path: string, passphrase: string): Promise<OpenedKey> {
  return storeKey(path, randomBytes(32), passphrase)
}

/** Seals a seed into a new file. There is no way to write one unsealed. */
export async function storeKey(path: string, seed: Uint8Array, passphrase: string): Promise<OpenedKey> {
  if (existsSync(path)) {
    throw new CliError(
      'conflict',
      'key_exists',
      `${path} exists already`,
      'choose another name or directory; keys are never overwritten',
    )
  }
  const salt = randomBytes(16)
  const derivation: KeyDerivation = { ...keyDerivationDefault, salt: toBase64url(salt) }
  const sealed = sealKey(
    seed,
    await derive(passphrase, derivation, salt),
    randomBytes(nonceBytes),
    derivation,
  )
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, `${JSON.stringify(sealed, undefined, 2)}\n`, { mode: 0o600, flag: 'wx' })
  return { seed, key: keyOfSeed(seed), keyid: sealed.keyid }
}

export function loadKeyFile(path: string): KeyFile {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch {
    throw new CliError('notFound', 'key_missing', `no key file at ${path}`, 'godwit key generate --out FILE')
  }
  const read = readKeyFile(bytes)
  if (!read.trusted) throw new CliError('failure', 'key_malformed', `${path}: ${read.detail}`)
  return read.value
}

export function publicHalf(file: KeyFile): Key {
  return ed25519Key(fromHex(file.public)!)
}

export async function unlockKey(path: string, passphrase: string): Promise<OpenedKey> {
  const file = loadKeyFile(path)
  const opened = openKey(file, await derive(passphrase, file.encrypted, saltOf(file)))
  if (!opened.trusted) {
    const exit = opened.because === 'wrong-passphrase' ? 'auth' : 'failure'
    throw new CliError(exit, 'key_locked', `${path}: ${opened.detail}`)
  }
  return { seed: opened.value, key: keyOfSeed(opened.value), keyid: file.keyid }
}

export function keyFilesIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter((name) => name.endsWith('.key.json'))
    .sort()
    .map((name) => join(directory, name))
}

/**
 * From a file, the environment, or a person. Never from an argument: those stand in the process list and in the
 * shell's history.
 */
export async function passphraseFrom(
  options: { passphraseFile?: string },
  environment: Environment,
  ask: { purpose: string; twice?: boolean; tty: boolean },
): Promise<string> {
  if (options.passphraseFile !== undefined) return readPassphraseFile(options.passphraseFile)
  const given = environment['GODWIT_PASSPHRASE']
  if (given) return given
  if (!ask.tty) {
    throw new CliError(
      'usage',
      'passphrase_missing',
      `${ask.purpose} needs a passphrase`,
      '--passphrase-file FILE, or GODWIT_PASSPHRASE',
    )
  }
  const first = await prompt(`Passphrase for ${ask.purpose}: `)
  if (first.length < 8)
    throw new CliError('usage', 'passphrase_short', 'a passphrase has at least 8 characters')
  if (ask.twice && (await prompt('Again: ')) !== first) {
    throw new CliError('usage', 'passphrase_differs', 'the two passphrases differ')
  }
  return first
}

function readPassphraseFile(path: string): string {
  try {
    const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '')
    if (text) return text
  } catch {
    throw new CliError('usage', 'passphrase_missing', `cannot read the passphrase file ${path}`)
  }
  throw new CliError('usage', 'passphrase_missing', `the passphrase file ${path} is empty`)
}

/** Reads a line from the terminal without showing it. */
function prompt(question: string): Promise<string> {
  process.stderr.write(question)
  const reader = createInterface({ input: process.stdin, terminal: true })
  return new Promise((resolve) => {
    reader.question('', (answer) => {
      reader.close()
      process.stderr.write('\n')
      resolve(answer)
    })
  })
}

function derive(passphrase: string, derivation: KeyDerivation, salt: Uint8Array): Promise<Uint8Array> {
  const { N, r, p } = derivation
  // Node refuses scrypt beyond maxmem; it needs 128 · N · r bytes and a little.
  return new Promise((resolve, reject) => {
    scrypt(
      passphrase.normalize('NFKC'),
      salt,
      derivedKeyBytes,
      { N, r, p, maxmem: 256 * N * r },
      (error, bytes) => (error ? reject(error) : resolve(bytes)),
    )
  })
}
