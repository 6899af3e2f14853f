import { sha256, sha512 } from '#crypto'
import { type EpochMs, fromRfc3339 } from '../units.ts'
import { toHex } from './encoding.ts'
import {
  type Key,
  type KeyPolicy,
  type MetaFile,
  openMetadata,
  own,
  type RoleKeys,
  type Root,
  type Snapshot,
  type Targets,
  type Timestamp,
  verifyThreshold,
} from './metadata.ts'
import { accept, type Refused, refuse, type Verdict } from './refusal.ts'

/*
 * Each function is one row of checks from TUF §5, in the order the specification gives them. Pure: what is
 * already trusted goes in, a verdict comes out. The order in which they run is in client.ts.
 */

/** The root a device is born with (§5.2): trusted because it was put there, but it must at least be whole. */
export function checkInitialRoot(bytes: Uint8Array, policy: KeyPolicy): Verdict<Root> {
  const opened = openMetadata(bytes, 'root', policy)
  if (!opened.trusted) return opened
  const root = opened.value.signed
  const signed = verifyThreshold(opened.value, root.keys, root.roles['root']!, policy)
  return signed.trusted ? accept(root) : refuse(signed.because, `initial root: ${signed.detail}`)
}

/** §5.3.4 and §5.3.5: signed by the old and by the new threshold, and exactly the next version. */
export function checkNextRoot(trusted: Root, bytes: Uint8Array, policy: KeyPolicy): Verdict<Root> {
  const opened = openMetadata(bytes, 'root', policy)
  if (!opened.trusted) return opened
  const root = opened.value.signed
  const next = trusted.version + 1
  for (const [who, authority] of [['old', trusted] as const, ['new', root] as const]) {
    const signed = verifyThreshold(opened.value, authority.keys, authority.roles['root']!, policy)
    if (!signed.trusted) return refuse(signed.because, `root ${next} under the ${who} keys: ${signed.detail}`)
  }
  if (root.version === next) return accept(root)
  const because = root.version < next ? 'rollback' : 'version-mismatch'
  return refuse(because, `root: expected version ${next}, found ${root.version}`)
}

/**
 * §5.3.11: has a key of this role been taken away? Only then may an attacker have held it, and only then do
 * we forget the versions it signed. A key that was merely added keeps the protection against rollback.
 */
export function hasLostKey(before: Root, after: Root, role: string): boolean {
  const kept = new Set(own(after.roles, role)?.keyids)
  return (own(before.roles, role)?.keyids ?? []).some((keyid) => !kept.has(keyid))
}

/** §5.4.2 alone: enough to believe the version numbers in what we stored earlier. */
export function checkTimestampSigned(bytes: Uint8Array, root: Root, policy: KeyPolicy): Verdict<Timestamp> {
  const opened = openMetadata(bytes, 'timestamp', policy)
  if (!opened.trusted) return opened
  const signed = verifyThreshold(opened.value, root.keys, root.roles['timestamp']!, policy)
  return signed.trusted ? accept(opened.value.signed) : refuse(signed.because, `timestamp: ${signed.detail}`)
}

/** §5.4.3. Equal versions are the caller's case: nothing new, and nothing wrong. */
export function checkTimestampRollback(held: Timestamp, fresh: Timestamp): Refused | undefined {
  if (fresh.version < held.version)
    return refuse('rollback', `timestamp: expected at least version ${held.version}, found ${fresh.version}`)
  const before = held.meta['snapshot.json'].version
  const after = fresh.meta['snapshot.json'].version
  if (fresh.version === held.version || after >= before) return undefined
  return refuse('rollback', `timestamp: expected at least snapshot ${before}, found ${after}`)
}

/** §5.5.3 alone, as for the timestamp. */
export function checkSnapshotSigned(bytes: Uint8Array, root: Root, policy: KeyPolicy): Verdict<Snapshot> {
  const opened = openMetadata(bytes, 'snapshot', policy)
  if (!opened.trusted) return opened
  const signed = verifyThreshold(opened.value, root.keys, root.roles['snapshot']!, policy)
  return signed.trusted ? accept(opened.value.signed) : refuse(signed.because, `snapshot: ${signed.detail}`)
}

/** §5.5.5: no listed file goes back in version, and none disappears. */
export function checkSnapshotRollback(held: Snapshot, fresh: Snapshot): Refused | undefined {
  for (const [name, { version }] of Object.entries(held.meta)) {
    const found = own(fresh.meta, name)?.version
    if (found === undefined) return refuse('rollback', `snapshot: ${name} is no longer listed`)
    if (found < version)
      return refuse('rollback', `snapshot: expected at least version ${version} of ${name}, found ${found}`)
  }
  return undefined
}

/** Who answers for a targets role: root for the top one, the delegating role for the others. */
export type Authority = { keys: Record<string, Key>; role: RoleKeys }

/** §5.6.2 to §5.6.5, the same for delegated roles. */
export function checkTargets(
  role: string,
  bytes: Uint8Array,
  listed: MetaFile,
  authority: Authority,
  now: EpochMs,
  policy: KeyPolicy,
): Verdict<Targets> {
  const altered = checkFile(role, bytes, listed)
  if (altered) return altered
  const opened = openMetadata(bytes, 'targets', policy)
  if (!opened.trusted) return refuse(opened.because, `${role}: ${opened.detail}`)
  const signed = verifyThreshold(opened.value, authority.keys, authority.role, policy)
  if (!signed.trusted) return refuse(signed.because, `${role}: ${signed.detail}`)
  const targets = opened.value.signed
  return checkVersion(role, targets.version, listed) ?? checkFresh(role, targets, now) ?? accept(targets)
}

/** §5.5.4, §5.6.4. */
export function checkVersion(what: string, found: number, listed: MetaFile): Refused | undefined {
  if (found === listed.version) return undefined
  return refuse('version-mismatch', `${what}: expected version ${listed.version}, found ${found}`)
}

/** The freeze attack (§5.3.10, §5.4.4, §5.5.6, §5.6.5): expiry must be later than the fixed start of the update. */
export function checkFresh(what: string, metadata: { expires: string }, now: EpochMs): Refused | undefined {
  if (fromRfc3339(metadata.expires) > now) return undefined
  const at = new Date(now).toISOString()
  return refuse('expired', `${what}: expired at ${metadata.expires}, and the update began at ${at}`)
}

/** §5.5.2, §5.6.2, §5.7.3: the length and every hash that is listed. Cheap, so it comes before signatures. */
export function checkFile(
  what: string,
  bytes: Uint8Array,
  listed: { length?: number; hashes?: Record<string, string> },
): Refused | undefined {
  if (listed.length !== undefined && bytes.length !== listed.length)
    return refuse('length-mismatch', `${what}: expected ${listed.length} bytes, found ${bytes.length}`)
  if (!listed.hashes) return undefined
  const hashes = Object.entries(listed.hashes)
  let known = 0
  for (const [algorithm, expected] of hashes) {
    const digest = digestBy(algorithm)
    if (!digest) continue
    known++
    const found = toHex(digest(bytes))
    if (found !== expected.toLowerCase())
      return refuse('hash-mismatch', `${what}: expected ${algorithm} ${expected}, found ${found}`)
  }
  if (known > 0) return undefined
  // A hash that nobody can check is no hash, and a list of none vouches for any content.
  const found = hashes.map(([algorithm]) => algorithm).join(', ') || 'none'
  return refuse('hash-mismatch', `${what}: expected sha256 or sha512, found ${found}`)
}

function digestBy(algorithm: string): ((bytes: Uint8Array) => Uint8Array) | undefined {
  if (algorithm === 'sha256') return sha256
  return algorithm === 'sha512' ? sha512 : undefined
}
