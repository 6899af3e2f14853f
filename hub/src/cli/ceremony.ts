import { type Key, keyIdOf } from '@godwit/protocol/trust/key'
import {
  encodeEnvelope,
  type Root,
  type Signed,
  signatureOver,
  specVersion,
  type TargetFile,
  type Targets,
  withSignature,
} from '@godwit/protocol/trust/metadata'
import { toRfc3339 } from '@godwit/protocol/units'
import type { OpenedKey } from './keys.ts'

const day = 86_400_000

/** How long signed documents stay valid. Root and targets are renewed by people, so they live a year. */
export const validity = { rootMs: 365 * day, targetsMs: 365 * day }

export type RoleHolders = { keys: Key[]; threshold: number }

/**
 * The first root of a fleet: which keys may sign what, and how many of them must. Root and targets belong to people
 * and stay offline; snapshot, timestamp and director belong to the hub.
 */
export function firstRoot(
  holders: Record<'root' | 'targets' | 'snapshot' | 'timestamp' | 'director', RoleHolders>,
  now: number,
): Root {
  const keys: Record<string, Key> = {}
  const roles: Record<string, { keyids: string[]; threshold: number }> = {}
  for (const [role, { keys: held, threshold }] of Object.entries(holders)) {
    for (const key of held) keys[keyIdOf(key)] = key
    roles[role] = { keyids: held.map(keyIdOf), threshold }
  }
  return {
    _type: 'root',
    spec_version: specVersion,
    version: 1,
    expires: toRfc3339(now + validity.rootMs),
    consistent_snapshot: true,
    keys,
    roles: roles as Root['roles'],
  }
}

export function firstTargets(now: number): Targets {
  return {
    _type: 'targets',
    spec_version: specVersion,
    version: 1,
    expires: toRfc3339(now + validity.targetsMs),
    targets: {},
  }
}

/** The next targets: everything that was listed, with one entry more, changed or gone. */
export function nextTargets(
  current: Targets,
  change: Record<string, TargetFile | undefined>,
  now: number,
): Targets {
  const targets = { ...current.targets }
  for (const [path, file] of Object.entries(change)) {
    if (file) targets[path] = file
    else delete targets[path]
  }
  return { ...current, version: current.version + 1, expires: toRfc3339(now + validity.targetsMs), targets }
}

/** Signed by every key given, as bytes ready to be stored or sent. */
export function signedBytes(document: Root | Targets, keys: OpenedKey[]): Uint8Array {
  let envelope: Signed<Root | Targets> = { signed: document, signatures: [] }
  for (const { seed, key } of keys) envelope = withSignature(envelope, signatureOver(document, seed, key))
  return encodeEnvelope(envelope)
}
