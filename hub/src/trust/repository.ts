import { Fault } from '@godwit/protocol/fault'
import { rootBytesMax } from '@godwit/protocol/limits'
import { sha256Hex } from '@godwit/protocol/release/blocks'
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
import type { ModelVersion } from '../registry/model.ts'
import type { Database, Db } from '../store/database.ts'
import {
  allMetadata,
  deleteMetadataBefore,
  insertMetadata,
  metadataOf,
  newestDelegated,
  newestMetadata,
  type StoredMetadata,
} from '../store/metadata-store.ts'
import { everyVersion, markDelisted, markListed } from '../store/registry-store.ts'
import { type Audit, appendEntry } from './audit.ts'
import { isTeamName, pathsListedBy, type Signatory, signatoryOf, stillSigned } from './delegations.ts'
import { type HubKeys, onlineRoles, publicHubKeys } from './hub-keys.ts'
import { signedSnapshot, signedTimestamp } from './online-metadata.ts'
import { checkOfferedTargets } from './targets-check.ts'

/** A metadata document as it is served: version is absent for the timestamp, whose name carries none. */
export type MetadataDocument = { role: string; version?: number; bytes: Uint8Array }

/** The hub's side of TUF: keeps what the publishers sign, and signs snapshot and timestamp around it. */
export type Repository = {
  /** Everything a device may need now: every root, the current timestamp, snapshot, targets and teams' documents. */
  current(): Promise<MetadataDocument[]>
  /** By file name, as `3.root.json` or `timestamp.json`; undefined for any other name. */
  serve(fileName: string): Promise<Uint8Array | undefined>
  root(): Promise<Root>
  /** The first root, which join tokens name by digest. */
  firstRoot(): Promise<Uint8Array>
  /** Refusal `version-mismatch` when the version is not the next one; `not-listed` for a target never uploaded. */
  acceptTargets(bytes: Uint8Array, who: string): Promise<Verdict<{ version: number }>>
  /** A team's document, by the name that the top-level targets delegate to. */
  acceptDelegated(team: string, bytes: Uint8Array, who: string): Promise<Verdict<{ version: number }>>
  /** The newest document of a team, undefined before its first. */
  delegated(team: string): Promise<Uint8Array | undefined>
  /** `mustBeSignedAgain`: documents that the keys of the new root no longer vouch for. */
  acceptRoot(
    bytes: Uint8Array,
    who: string,
  ): Promise<Verdict<{ version: number; mustBeSignedAgain?: string[] }>>
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
  const flaw = flawOfRoot(root.value, signing.keys, now)
  if (flaw) return flaw
  const opened = openMetadata(first.targets, 'targets', ed25519Only)
  if (!opened.trusted) return opened
  const { version } = opened.value.signed
  const targets = checkOfferedTargets(first.targets, topSignatory(root.value), version, [], now)
  if (!targets.trusted) return targets
  await transaction(async (trx) => {
    if (await newestMetadata(trx, 'root'))
      throw new Fault('already-initialised', 'this hub already has a root')
    await insertMetadata(trx, { role: 'root', version: root.value.version, bytes: first.root }, now)
    await insertMetadata(trx, { role: 'targets', version, bytes: first.targets }, now)
    await signOnline(trx, ['snapshot', 'timestamp'], signing, now)
    const taken = (action: string, subject: number, bytes: Uint8Array) =>
      appendEntry(
        trx,
        { who: 'hub', action, subject: `${subject}`, detail: { sha256: sha256Hex(bytes) } },
        now,
      )
    await taken('root.accept', root.value.version, first.root)
    await taken('targets.accept', version, first.targets)
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

  /** Targets of either kind: checked, stored, and what they change in what is listed. */
  async function acceptListing(
    bytes: Uint8Array,
    who: string,
    role: string,
    signatoryIn: (trx: Db) => Promise<Signatory | undefined>,
  ): Promise<Verdict<{ version: number }>> {
    const now = clock()
    const verdict = await transaction(async (trx): Promise<Verdict<Targets>> => {
      const signatory = await signatoryIn(trx)
      if (!signatory) return refuse('unknown-role', `targets do not delegate to ${role}`)
      const expected = ((await newestMetadata(trx, role))?.version ?? 0) + 1
      const uploaded = await everyVersion(trx)
      const offered = checkOfferedTargets(bytes, signatory, expected, uploaded, now)
      if (!offered.trusted) return offered
      const { version, targets } = offered.value
      await insertMetadata(trx, { role, version, bytes }, now)
      await relist(trx, uploaded, now)
      await signOnline(trx, ['snapshot', 'timestamp'], around, now)
      const sha256 = sha256Hex(bytes)
      const detail = { sha256, releases: Object.keys(targets).length, ...(role !== 'targets' && { role }) }
      await audit.append(trx, { who, action: 'targets.accept', subject: `${version}`, detail })
      return offered
    })
    if (!verdict.trusted) return verdict
    changed.tell()
    return accept({ version: verdict.value.version })
  }

  return {
    onChange: (listener) => changed.add(listener),
    root: () => rootIn(db),
    firstRoot: async () => (await allMetadata(db, 'root'))[0]!.bytes,

    async current() {
      const roots = await allMetadata(db, 'root')
      const newest = await Promise.all(['targets', 'snapshot', 'timestamp'].map((role) => mustHave(db, role)))
      const targets = opened(newest[0]!, 'targets')
      const teams = (await newestDelegated(db)).filter(({ role }) => signatoryOf(role, targets))
      return [...roots, ...teams, ...newest].map(({ role, version, bytes }) =>
        role === 'timestamp' ? { role, bytes } : { role, version, bytes },
      )
    },

    async serve(fileName) {
      if (fileName === 'timestamp.json') return (await mustHave(db, 'timestamp')).bytes
      const match = /^([1-9]\d{0,8})\.([a-z0-9-]{1,40})\.json$/.exec(fileName)
      if (!match || match[2] === 'timestamp') return undefined
      return (await metadataOf(db, match[2]!, Number(match[1])))?.bytes
    },

    acceptTargets: (bytes, who) =>
      acceptListing(bytes, who, 'targets', async (trx) => topSignatory(await rootIn(trx))),

    acceptDelegated: (team, bytes, who) =>
      acceptListing(bytes, who, team, async (trx) =>
        signatoryOf(team, opened(await mustHave(trx, 'targets'), 'targets')),
      ),

    delegated: async (team) => (isTeamName(team) ? (await newestMetadata(db, team))?.bytes : undefined),

    async acceptRoot(bytes, who) {
      const verdict = await storeNextRoot(around, bytes, who)
      if (verdict.trusted) changed.tell()
      return verdict
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

/** The next root in one transaction with everything that hangs on it. */
export async function storeNextRoot(
  around: Signing & Pick<Around, 'database' | 'clock' | 'audit'>,
  bytes: Uint8Array,
  who: string,
): Promise<Verdict<{ version: number; mustBeSignedAgain?: string[] }>> {
  const now = around.clock()
  return around.database.transaction(async (trx) => {
    if (bytes.length > rootBytesMax) {
      return refuse('length-exceeded', `root: ${bytes.length} bytes, at most ${rootBytesMax}`)
    }
    const next = checkNextRoot(await rootIn(trx), bytes, ed25519Only)
    if (!next.trusted) return next
    const flaw = flawOfRoot(next.value, around.keys, now)
    if (flaw) return flaw
    const { version } = next.value
    await insertMetadata(trx, { role: 'root', version, bytes }, now)
    const mustBeSignedAgain = await relist(trx, await everyVersion(trx), now)
    await signOnline(trx, ['snapshot', 'timestamp'], around, now)
    const detail = { sha256: sha256Hex(bytes) }
    await around.audit.append(trx, { who, action: 'root.accept', subject: `${version}`, detail })
    return accept(mustBeSignedAgain.length > 0 ? { version, mustBeSignedAgain } : { version })
  })
}

/**
 * Marks every version by whether a device would find it: listed by the top-level targets or by a team that they
 * delegate to, each signed by keys that count now. Answers the roles whose document is no longer signed well enough.
 */
async function relist(trx: Db, uploaded: readonly ModelVersion[], now: number): Promise<string[]> {
  const top = topSignatory(await rootIn(trx))
  const targets = stillSigned((await mustHave(trx, 'targets')).bytes, top)
  const listed = new Set(targets && pathsListedBy(targets, top))
  const unsigned = targets ? [] : ['targets']
  for (const { role, bytes } of targets ? await newestDelegated(trx) : []) {
    const signatory = signatoryOf(role, targets!)
    if (!signatory) continue
    const document = stillSigned(bytes, signatory)
    if (!document) unsigned.push(role)
    else for (const path of pathsListedBy(document, signatory)) listed.add(path)
  }
  for (const { model, version, releaseDigest } of uploaded) {
    const isListed = listed.has(targetPathOf(model, version))
    await (isListed ? markListed : markDelisted)(trx, releaseDigest, now)
  }
  return unsigned
}

function topSignatory(root: Root): Signatory {
  return { name: 'targets', keys: root.keys, role: root.roles['targets']! }
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
    // A team that is delegated to no longer stays listed: to a client a file that disappears is a rollback (§5.5.5).
    const documents = { targets: await mustHave(trx, 'targets'), teams: await newestDelegated(trx) }
    const bytes = signedSnapshot(version, documents, life, keys.snapshot)
    await insertMetadata(trx, { role: 'snapshot', version, bytes }, now)
    await deleteMetadataBefore(trx, 'snapshot', version - snapshotsKept)
  }
  const version = ((await newestMetadata(trx, 'timestamp'))?.version ?? 0) + 1
  const life = { now, expiresMs: metadata.timestampExpiresMs }
  const bytes = signedTimestamp(version, await mustHave(trx, 'snapshot'), life, keys.timestamp)
  await insertMetadata(trx, { role: 'timestamp', version, bytes }, now)
  await deleteMetadataBefore(trx, 'timestamp', version)
}

function flawOfRoot(root: Root, keys: HubKeys, now: number): Refused | undefined {
  return checkFresh('root', root, now) ?? flawOfThreshold(root) ?? flawOfOnlineKeys(root, keys)
}

/** More signatures than there are keys: nobody could release anything under it, nor take anything back. */
function flawOfThreshold(root: Root): Refused | undefined {
  const { keyids, threshold } = root.roles['targets']!
  const keys = new Set(keyids.filter((keyid) => Object.hasOwn(root.keys, keyid))).size
  if (keys >= threshold) return undefined
  return refuse(
    'unknown-role',
    `root ${root.version}: targets needs ${threshold} signatures and has ${keys} keys`,
  )
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
