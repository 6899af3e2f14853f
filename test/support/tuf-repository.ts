import { createHash } from 'node:crypto'
import { type Fetch, TrustClient, type TrustLimits } from '@godwit/protocol/trust/client'
import { toHex } from '@godwit/protocol/trust/encoding'
import { fileNameOf } from '@godwit/protocol/trust/file-name'
import {
  type DelegatedRole,
  encodeEnvelope,
  type Key,
  type KeyPolicy,
  keyIdOf,
  keyOfSeed,
  type MetaFile,
  type Root,
  type Signed,
  type Snapshot,
  signatureOver,
  type Targets,
  type Timestamp,
} from '@godwit/protocol/trust/metadata'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs
/** The tests' present. Nothing reads a clock. */
export const now = Date.UTC(2026, 10, 22, 12)

/** A seed that is its name's hash: no randomness, so that a failing test fails again. */
export function seedOf(name: string): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(name).digest())
}

export type Signer = { seed: Uint8Array; key: Key; keyid: string }

export function signerOf(name: string): Signer {
  const seed = seedOf(name)
  const key = keyOfSeed(seed)
  return { seed, key, keyid: keyIdOf(key) }
}

/** No milliseconds: the form that TUF §4.2 writes. */
export function dateOf(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z')
}

const common = (version: number) => ({ spec_version: '1.0.31', version, expires: dateOf(now + 30 * dayMs) })

/**
 * A TUF repository in memory, and the party that tests make malicious: its documents are plain data that a test
 * may change in any way before `publish` signs them, and `files` are the bytes that a mirror would serve.
 */
export class TufRepository {
  readonly files = new Map<string, Uint8Array>()
  readonly signers = new Map<string, Signer[]>()
  /** Fast-growing metadata lists hashes and lengths only when a test wants it. */
  listsHashes = false
  root: Root
  timestamp: Timestamp = { _type: 'timestamp', ...common(0), meta: { 'snapshot.json': { version: 0 } } }
  snapshot: Snapshot = { _type: 'snapshot', ...common(0), meta: { 'targets.json': { version: 0 } } }
  readonly targets = new Map<string, Targets>([['targets', emptyTargets()]])

  constructor(options: { consistent?: boolean; extraRoles?: string[] } = {}) {
    const empty = { keyids: [], threshold: 1 }
    this.root = {
      _type: 'root',
      ...common(0),
      consistent_snapshot: options.consistent ?? true,
      keys: {},
      roles: {
        root: { ...empty },
        timestamp: { ...empty },
        snapshot: { ...empty },
        targets: { ...empty },
      },
    }
    for (const role of ['root', 'timestamp', 'snapshot', 'targets', ...(options.extraRoles ?? [])])
      this.setKeys(role, [`${role}-1`])
    this.publishAll()
  }

  /** Replaces the keys of a top-level role; the old ones may go on signing if `alsoSignedBy` says so. */
  setKeys(role: string, names: string[], threshold = 1, alsoSignedBy: string[] = []): void {
    const signers = names.map(signerOf)
    for (const { key, keyid } of signers) this.root.keys[keyid] = key
    this.root.roles[role] = { keyids: signers.map((s) => s.keyid), threshold }
    this.signers.set(role, [...signers, ...alsoSignedBy.map(signerOf)])
  }

  delegate(
    from: string,
    name: string,
    grant: Partial<DelegatedRole> = { paths: ['*'] },
    keyName = `${name}-1`,
  ): Targets {
    const signer = signerOf(keyName)
    const delegator = this.targets.get(from)!
    delegator.delegations ??= { keys: {}, roles: [] }
    delegator.delegations.keys[signer.keyid] = signer.key
    delegator.delegations.roles!.push({
      name,
      keyids: [signer.keyid],
      threshold: 1,
      terminating: false,
      ...grant,
    })
    this.signers.set(name, [signer])
    const existing = this.targets.get(name) ?? emptyTargets()
    this.targets.set(name, existing)
    return existing
  }

  addTarget(role: string, path: string, content: string): void {
    const bytes = Buffer.from(content)
    this.targets.get(role)!.targets[path] = { length: bytes.length, hashes: { sha256: sha256Hex(bytes) } }
  }

  publishRoot(): Uint8Array {
    this.root.version++
    return this.write('root', this.root, this.root.version)
  }

  publishTargets(role = 'targets'): Uint8Array {
    const targets = this.targets.get(role)!
    targets.version++
    const bytes = this.write(role, targets, targets.version)
    this.snapshot.meta[`${role}.json`] = this.metaOf(targets.version, bytes)
    return bytes
  }

  publishSnapshot(): Uint8Array {
    this.snapshot.version++
    const bytes = this.write('snapshot', this.snapshot, this.snapshot.version)
    this.timestamp.meta['snapshot.json'] = this.metaOf(this.snapshot.version, bytes)
    return bytes
  }

  publishTimestamp(): Uint8Array {
    this.timestamp.version++
    return this.write('timestamp', this.timestamp, undefined)
  }

  /** Everything but root, with new versions. */
  publish(): void {
    for (const role of this.targets.keys()) this.publishTargets(role)
    this.publishSnapshot()
    this.publishTimestamp()
  }

  publishAll(): void {
    this.publishRoot()
    this.publish()
  }

  sign(role: string, signed: unknown): Signed<unknown> {
    const signatures = this.signers.get(role)!.map(({ seed, key }) => signatureOver(signed, seed, key))
    return { signed, signatures }
  }

  private write(role: string, signed: unknown, version: number | undefined): Uint8Array {
    const bytes = encodeEnvelope(this.sign(role, structuredClone(signed)))
    const isVersioned = role === 'root' || this.root.consistent_snapshot
    this.files.set(fileNameOf(role, isVersioned ? version : undefined), bytes)
    return bytes
  }

  private metaOf(version: number, bytes: Uint8Array): MetaFile {
    if (!this.listsHashes) return { version }
    return { version, length: bytes.length, hashes: { sha256: sha256Hex(bytes) } }
  }
}

/** A device's side: what it holds on disk, and every name it asked for. */
export class TufDevice implements Carrier {
  readonly disk: Map<string, Uint8Array>
  asked: string[] = []
  needs: Fetch[] = []
  changes: string[] = []
  client: TrustClient
  private readonly source: { files: Map<string, Uint8Array> }
  private readonly policy: KeyPolicy | undefined
  private readonly limits: Partial<TrustLimits>

  constructor(
    source: { files: Map<string, Uint8Array> },
    options: { policy?: KeyPolicy; limits?: Partial<TrustLimits>; root?: Uint8Array } = {},
  ) {
    this.source = source
    this.policy = options.policy
    this.limits = options.limits ?? {}
    this.disk = new Map([['root', options.root ?? source.files.get('1.root.json')!]])
    this.client = this.reopen()
  }

  /** A restart: all that survives is the disk. */
  restart(): void {
    this.client = this.reopen()
  }

  refresh(at = now) {
    this.asked = []
    this.changes = []
    return runRefresh(this.client, at, this)
  }

  find(path: string) {
    this.asked = []
    return runFindTarget(this.client, path, this)
  }

  versionOf(role: string): number | undefined {
    const bytes = this.disk.get(role)
    return bytes && JSON.parse(Buffer.from(bytes).toString()).signed.version
  }

  async fetch(need: Fetch): Promise<Uint8Array | null> {
    this.asked.push(need.fileName)
    this.needs.push(need)
    return this.source.files.get(need.fileName) ?? null
  }

  store(change: { role: string; version: number; bytes: Uint8Array }): void {
    this.changes.push(`store ${change.role} ${change.version}`)
    this.disk.set(change.role, change.bytes)
  }

  delete(change: { role: string }): void {
    this.changes.push(`delete ${change.role}`)
    this.disk.delete(change.role)
  }

  private reopen(): TrustClient {
    const opened = TrustClient.open(this.disk, this.policy, this.limits)
    if (!opened.trusted) throw new Error(`${opened.because}: ${opened.detail}`)
    return opened.value
  }
}

function emptyTargets(): Targets {
  return { _type: 'targets', ...common(0), targets: {} }
}

function sha256Hex(bytes: Uint8Array): string {
  return toHex(createHash('sha256').update(bytes).digest())
}
