import { readFileSync, writeFileSync } from 'node:fs'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalBytes, parseStrict } from '@godwit/protocol/trust/canonical'
import {
  ed25519Only,
  openMetadata,
  type Root,
  type Signed,
  type Targets,
} from '@godwit/protocol/trust/metadata'
import { teamOf } from '../trust/team.ts'
import { CliError } from './exit.ts'

/** A root or targets document out of a file, signed or not: nothing of it is believed yet. */
export type TrustDocument = {
  path: string
  envelope: Signed<Root | Targets>
  /** `root`, `targets`, or the name of a team. */
  role: string
}

export function readDocument(path: string): TrustDocument {
  const bytes = readBytes(path)
  return { path, ...openDocument(bytes, path) }
}

export function openDocument(bytes: Uint8Array, what: string): Omit<TrustDocument, 'path'> {
  const parsed = parseStrict(bytes)
  const type = parsed.ok ? (parsed.value as { signed?: { _type?: unknown } }).signed?._type : undefined
  const opened = openMetadata(bytes, type === 'root' ? 'root' : 'targets', ed25519Only)
  if (!opened.trusted) throw new CliError('failure', 'document_malformed', `${what}: ${opened.detail}`)
  return { envelope: opened.value, role: roleOf(opened.value.signed) }
}

export function readRoot(path: string): Root {
  return rootOf(readBytes(path), path)
}

export function rootOf(bytes: Uint8Array, what: string): Root {
  const { signed } = openDocument(bytes, what).envelope
  if (signed._type === 'root') return signed
  throw new CliError('usage', 'wrong_document', `${what}: expected a root, found ${nameOf(signed)}`)
}

export function readTargets(path: string): Targets {
  const { signed } = readDocument(path).envelope
  if (signed._type === 'targets') return signed
  throw new CliError('usage', 'wrong_document', `${path}: expected targets, found ${nameOf(signed)}`)
}

export function roleOf(document: Root | Targets): string {
  return document._type === 'root' ? 'root' : (teamOf(document) ?? 'targets')
}

/** `root 2`, `targets 7`, `vision 3`. */
export function nameOf(document: Root | Targets): string {
  return `${roleOf(document)} ${document.version}`
}

/** What a signature is over, in a form that two people can compare. */
export function digestOf(document: Root | Targets): string {
  return sha256Hex(canonicalBytes(document))
}

/** For people to read and for others to sign. Never over an existing file: it may hold somebody's signature. */
export function writeDocument(path: string, value: unknown): void {
  writeNew(path, `${JSON.stringify(value, undefined, 2)}\n`)
}

export function writeNew(path: string, content: string | Uint8Array): void {
  try {
    writeFileSync(path, content, { flag: 'wx' })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST')
      throw new CliError(
        'conflict',
        'file_exists',
        `${path} exists already`,
        'choose another --out, or remove it',
      )
    throw new CliError('failure', 'file_unwritable', `cannot write ${path}: ${message}`)
  }
}

export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new CliError('notFound', 'file_missing', `cannot read ${path}: ${(cause as Error).message}`)
  }
}
