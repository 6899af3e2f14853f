import { Fault } from '@godwit/protocol/fault'
import { rootBytesMax } from '@godwit/protocol/limits'
import { targetPathOf } from '@godwit/protocol/release/release'
import { checkFresh, checkInitialRoot, checkNextRoot } from '@godwit/protocol/trust/checks'
import {
  ed25519Only,
  keyIdOf,
  type MetadataOf,
  openMetadata,
  own,
  type Root,
  type Targets,
} from '@godwit/protocol/trust/metadata'
import { accept, type Refused, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import { Listeners } from '../listeners.ts'
import type { Database, Db } from '../store/database.ts'
import {
  allMetadata,
  deleteMetadataBefore,
  insertMetadata,
  metadataOf,
  newestMetadata,
  type StoredMetadata,
} from '../store/metadata-store.ts'
import { everyVersion, markDelisted, markListed } from '../store/registry-store.ts'
import type { Audit } from './audit.ts'
import { type HubKeys, onlineRoles, publicHubKeys } from './hub-keys.ts'
import { signedSnapshot, signedTimestamp } from './online-metadata.ts'
import { checkOfferedTargets } from './targets-check.ts'

/** A metadata document as it is served: version is absent for the timestamp, whose name carries none. */
export type MetadataDocument = { role: string; version?: number; bytes: Uint8Array }

/** The hub's side of TUF: keeps what the publishers sign, and signs snapshot and timestamp around it. */
export type Repository = {
  /** Everything a device may need now: every root, the current timestamp, snapshot and targets. */
  current(): Promise<MetadataDocument[]>
  /** By file name, as `3.root.json` or `timestamp.json`; undefined for any other name. */
  serve(fileName: string): Promise<Uint8Array | undefined>
  root(): Promise<Root>
  /** The first root, which join tokens name by digest. */
  firstRoot(): Promise<Uint8Array>
  /** Refusal `version-mismatch` when the version is not the next one; `not-listed` for a target never uploaded. */
  acceptTargets(bytes: Uint8Array, who: string): Promise<Verdict<{ version: number }>>
  acceptRoot(bytes: Uint8Array, who: string): Promise<Verdict<{ version: number }>>
  /** Signs snapshot and timestamp again when half their life is over. Answers whether it did. */
  refresh(now: number): Promise<boolean>
  /** Documents changed, and it is committed: publish `current()`. */
  onChange(listener: () => void): () => void
}

/** Older ones stay a while for a device that is in the middle of its refresh. */
const snapshotsKept = 8

type Signing = { keys: HubKeys; metadata: HubConfig['metadata'] }
type Around = Signing & {
  database: Database
  clock: Clock
  audit: Audit
  listenerFailed: (error: unknown) => void
}

/** Puts the publishers' first root and targets into an empty store, and signs the first snapshot and timestamp. */
export async function initialiseRepository(
  { transaction }: Database,
  first: { root: Uint8Array; targets: Uint8Array },
  signing: Signing,
  now: number,
): Promise<Verdict<Root>> {
  const root = checkInitialRoot(first.root, ed25519Only)
  if (!root.trusted) return root
  const flaw = checkFresh('root', root.value, now) ?? flawOfOnlineKeys(root.value, signing.keys)
  if (flaw) return flaw
  const opened = openMetadata(first.targets, 'targets', ed25519Only)
  if (!opened.trusted) return opened
  const { version } = opened.value.signed
  const targets = checkOfferedTargets(first.targets, root.value, version, [], now)
  if (!targets.trusted) return targets
  await transaction(async (trx) => {
    if (await newestMetadata(trx, 'root'))
      throw new Fault('already-initialised', 'this hub already has a root')
    await insertMetadata(trx, { role: 'root', version: root.value.version, bytes: first.root }, now)
    await insertMetadata(trx, { role: 'targets', version, bytes: first.targets }, now)
    await signOnline(trx, ['snapshot', 'timestamp'], signing, now)
  })
  return root
}

/** @throws Fault when the store holds no root, or one that does not name the keys of this hub */
export async function openRepository(around: Around): Promise<Repository> {
  const { database, clock, audit, listenerFailed } = around
  const { db, transaction } = database
  const changed = new Listeners<[]>(listenerFailed)
  const flaw = flawOfOnlineKeys(await rootIn(db), around.keys)
  if (flaw) throw new Fault('keys-mismatch', `hub-keys.json does not fit this hub's root: ${flaw.detail}`)

  return {
    onChange: (listener) => changed.add(listener),
    root: () => rootIn(db),
    firstRoot: async () => (await allMetadata(db, 'root'))[0]!.bytes,

    async current() {
      const roots = await allMetadata(db, 'root')
      const newest = await Promise.all(['targets', 'snapshot', 'timestamp'].map((role) => mustHave(db, role)))
      return [...roots, ...newest].map(({ role, version, bytes }) =>
        role === 'timestamp' ? { role, bytes } : { role, version, bytes },
      )
    },

    async serve(fileName) {
      if (fileName === 'timestamp.json') return (await mustHave(db, 'timestamp')).bytes
      const match = /^([1-9]\d{0,8})\.(root|snapshot|targets)\.json$/.exec(fileName)
      return match ? (await metadataOf(db, match[2]!, Number(match[1])))?.bytes : undefined
    },

    async acceptTargets(bytes, who) {
      const now = clock()
      const verdict = await transaction(async (trx): Promise<Verdict<Targets>> => {
        const held = await mustHave(trx, 'targets')
        const uploaded = await everyVersion(trx)
        const offered = checkOfferedTargets(bytes, await rootIn(trx), held.version + 1, uploaded, now)
        if (!offered.trusted) return offered
        const { version, targets } = offered.value
        await insertMetadata(trx, { role: 'targets', version, bytes }, now)
        for (const { model, version: name, releaseDigest } of uploaded) {
          const isListed = own(targets, targetPathOf(model, name)) !== undefined
          await (isListed ? markListed : markDelisted)(trx, releaseDigest, now)
        }
        await signOnline(trx, ['snapshot', 'timestamp'], around, now)
        const detail = { releases: Object.keys(targets).length }
        await audit.append(trx, { who, action: 'targets.accept', subject: `${version}`, detail })
        return offered
      })
      if (!verdict.trusted) return verdict
      changed.tell()
      return accept({ version: verdict.value.version })
    },

    async acceptRoot(bytes, who) {
      const now = clock()
      const verdict = await transaction(async (trx): Promise<Verdict<Root>> => {
        if (bytes.length > rootBytesMax) {
          return refuse('length-exceeded', `root: ${bytes.length} bytes, at most ${rootBytesMax}`)
        }
        const next = checkNextRoot(await rootIn(trx), bytes, ed25519Only)
        if (!next.trusted) return next
        const flaw = checkFresh('root', next.value, now) ?? flawOfOnlineKeys(next.value, around.keys)
        if (flaw) return flaw
        await insertMetadata(trx, { role: 'root', version: next.value.version, bytes }, now)
        await signOnline(trx, ['snapshot', 'timestamp'], around, now)
        await audit.append(trx, { who, action: 'root.accept', subject: `${next.value.version}` })
        return next
      })
      if (!verdict.trusted) return verdict
      changed.tell()
      return accept({ version: verdict.value.version })
    },

    async refresh(now) {
      const { timestampExpiresMs, snapshotExpiresMs } = around.metadata
      const signed = await transaction(async (trx) => {
        const isSnapshotOld = now > expiryOf(await mustHave(trx, 'snapshot')) - snapshotExpiresMs / 2
        const isTimestampOld = now > expiryOf(await mustHave(trx, 'timestamp')) - timestampExpiresMs / 2
        if (!isSnapshotOld && !isTimestampOld) return false
        await signOnline(trx, isSnapshotOld ? ['snapshot', 'timestamp'] : ['timestamp'], around, now)
        return true
      })
      if (signed) changed.tell()
      return signed
    },
  }
}

/** Timestamp always: it names the snapshot. Versions only ever count up, whatever the clock says. */
async function signOnline(
  trx: Db,
  roles: readonly ('snapshot' | 'timestamp')[],
  { keys, metadata }: Signing,
  now: number,
): Promise<void> {
  if (roles.includes('snapshot')) {
    const version = ((await newestMetadata(trx, 'snapshot'))?.version ?? 0) + 1
    const life = { now, expiresMs: metadata.snapshotExpiresMs }
    const bytes = signedSnapshot(version, await mustHave(trx, 'targets'), life, keys.snapshot)
    await insertMetadata(trx, { role: 'snapshot', version, bytes }, now)
    await deleteMetadataBefore(trx, 'snapshot', version - snapshotsKept)
  }
  const version = ((await newestMetadata(trx, 'timestamp'))?.version ?? 0) + 1
  const life = { now, expiresMs: metadata.timestampExpiresMs }
  const bytes = signedTimestamp(version, await mustHave(trx, 'snapshot'), life, keys.timestamp)
  await insertMetadata(trx, { role: 'timestamp', version, bytes }, now)
  await deleteMetadataBefore(trx, 'timestamp', version)
}

/** A root that forgets the hub's own keys would leave it unable to sign anything a device believes. */
function flawOfOnlineKeys(root: Root, keys: HubKeys): Refused | undefined {
  const held = publicHubKeys(keys)
  for (const role of onlineRoles) {
    const named = own(root.roles, role)
    if (!named) return refuse('unknown-role', `root ${root.version} names no ${role}`)
    const keyid = keyIdOf(held[role])
    if (!named.keyids.includes(keyid)) {
      return refuse('unknown-role', `root ${root.version}: ${role} must name this hub's key ${keyid}`)
    }
    if (named.threshold !== 1) {
      return refuse(
        'unknown-role',
        `root ${root.version}: ${role} needs ${named.threshold} signatures, the hub has 1`,
      )
    }
  }
  return undefined
}

async function mustHave(db: Db, role: string): Promise<StoredMetadata> {
  const document = await newestMetadata(db, role)
  if (document) return document
  throw new Fault('not-initialised', `this hub has no ${role} metadata: run \`godwit hub init\` first`)
}

async function rootIn(db: Db): Promise<Root> {
  return opened(await mustHave(db, 'root'), 'root')
}

function expiryOf(document: StoredMetadata): number {
  return fromRfc3339(opened(document, document.role as 'snapshot' | 'timestamp').expires)
}

/** It was checked before it was stored. */
function opened<T extends keyof MetadataOf>({ bytes, version }: StoredMetadata, type: T): MetadataOf[T] {
  const document = openMetadata(bytes, type, ed25519Only)
  if (document.trusted) return document.value.signed
  throw new Fault('store-corrupt', `${type} ${version} in the store: ${document.detail}`)
}
