import type { HubConfig } from '../config.ts'
import type { Db } from '../store/database.ts'
import {
  deleteMetadataBefore,
  deleteOldMetadata,
  insertMetadata,
  newestDelegated,
  newestMetadata,
} from '../store/metadata-store.ts'
import type { HubKeys } from './hub-keys.ts'
import { signedSnapshot, signedTimestamp } from './online-metadata.ts'
import { expiryOf, mustHave } from './stored-metadata.ts'

export type Signing = {
  keys: HubKeys
  metadata: Pick<HubConfig['metadata'], 'timestampExpiresMs' | 'snapshotExpiresMs'>
}

/** For a stick: the snapshot names the targets that belong to it, by version. */
export type MediumMetadata = {
  version: number
  validUntil: number
  snapshot: { version: number; bytes: Uint8Array }
  timestamp: Uint8Array
}

/** Older ones stay a while for a device that is in the middle of its refresh. */
const snapshotsKept = 8

/** From here on versions are counted in minutes: long before any hub, so that the number is small and positive. */
const countedFrom = Date.parse('2026-01-01T00:00:00Z')

/** Timestamp always: it names the snapshot. */
export async function signOnline(
  trx: Db,
  roles: readonly ('snapshot' | 'timestamp')[],
  { keys, metadata }: Signing,
  now: number,
): Promise<void> {
  if (roles.includes('snapshot'))
    await storeSnapshot(trx, keys, { now, expiresMs: metadata.snapshotExpiresMs })
  const version = await nextVersion(trx, 'timestamp', now)
  const life = { now, expiresMs: metadata.timestampExpiresMs }
  const bytes = signedTimestamp(version, await mustHave(trx, 'snapshot'), life, keys.timestamp)
  await insertMetadata(trx, { role: 'timestamp', version, bytes }, now)
  await deleteMetadataBefore(trx, 'timestamp', version)
}

/**
 * What a stick carries lives longer, and is marked, so that devices take it from a stick alone. The hub itself goes on to
 * higher versions at once: a device that was away with the stick must not find an older timestamp at home.
 */
export async function signForMedium(
  trx: Db,
  expiresAt: number,
  signing: Signing,
  now: number,
): Promise<MediumMetadata> {
  const ends = await Promise.all(['root', 'targets'].map(async (role) => expiryOf(await mustHave(trx, role))))
  const validUntil = Math.min(expiresAt, ...ends)
  const life = { now, expiresMs: validUntil - now }
  const snapshot = await storeSnapshot(trx, signing.keys, life)
  const version = await nextVersion(trx, 'timestamp', now)
  const timestamp = signedTimestamp(version, snapshot, life, signing.keys.timestamp, { medium: true })
  await insertMetadata(trx, { role: 'timestamp', version, bytes: timestamp }, now)
  await signOnline(trx, ['snapshot', 'timestamp'], signing, now)
  return { version, validUntil, snapshot, timestamp }
}

async function storeSnapshot(trx: Db, keys: HubKeys, life: { now: number; expiresMs: number }) {
  const version = await nextVersion(trx, 'snapshot', life.now)
  // A team that is delegated to no longer stays listed: to a client a file that disappears is a rollback (§5.5.5).
  const documents = { targets: await mustHave(trx, 'targets'), teams: await newestDelegated(trx) }
  const bytes = signedSnapshot(version, documents, life, keys.snapshot)
  await insertMetadata(trx, { role: 'snapshot', version, bytes }, life.now)
  await deleteOldMetadata(trx, 'snapshot', snapshotsKept)
  return { version, bytes }
}

/**
 * Up, whatever the clock says, and never below the minutes of the calendar: a hub that was restored from an old copy does
 * not know how far it had counted, and devices would refuse all that it signs until it had counted there again.
 */
async function nextVersion(trx: Db, role: string, now: number): Promise<number> {
  const last = (await newestMetadata(trx, role))?.version ?? 0
  return Math.max(last + 1, Math.floor((now - countedFrom) / 60_000))
}
