import { Fault } from '@godwit/protocol/fault'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { Root, Targets } from '@godwit/protocol/trust/metadata'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import { toRfc3339 } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import type { Versions } from '../fleet/ahead.ts'
import { Listeners } from '../listeners.ts'
import type { Database, Db } from '../store/database.ts'
import {
  allMetadata,
  insertMetadata,
  metadataOf,
  newestDelegated,
  newestMetadata,
  newestVersions,
} from '../store/metadata-store.ts'
import { everyVersion } from '../store/registry-store.ts'
import type { Audit } from './audit.ts'
import { isTeamName, type Signatory, signatoryOf } from './delegations.ts'
import { relist, topSignatory } from './listing.ts'
import { flawOfOnlineKeys } from './root-check.ts'
import { type MediumMetadata, type Signing, signForMedium, signOnline } from './sign-online.ts'
import { expiryOf, mustHave, opened, rootIn } from './stored-metadata.ts'
import { storeNextRoot } from './take-root.ts'
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
  /** The newest version of each top-level role. */
  versions(): Promise<Versions>
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
  /** Signs snapshot and timestamp again when half their life is over, or `anyway`. Answers whether it did. */
  refresh(now: number, options?: { anyway?: boolean }): Promise<boolean>
  /** A snapshot and a timestamp for a stick (SPEC 3.10), valid until `expiresAt` or until root or targets end. */
  signForMedium(expiresAt: number, who: string): Promise<MediumMetadata>
  /** Documents changed, and it is committed: publish `current()`. */
  onChange(listener: () => void): () => void
}

type Around = Signing & {
  database: Database
  clock: Clock
  audit: Audit
  listenerFailed: (error: unknown) => void
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
    versions: () => newestVersions(db),
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

    async refresh(now, { anyway = false } = {}) {
      const { timestampExpiresMs, snapshotExpiresMs } = around.metadata
      const signed = await transaction(async (trx) => {
        const isSnapshotOld =
          anyway || now > expiryOf(await mustHave(trx, 'snapshot')) - snapshotExpiresMs / 2
        const isTimestampOld = now > expiryOf(await mustHave(trx, 'timestamp')) - timestampExpiresMs / 2
        if (!isSnapshotOld && !isTimestampOld) return false
        await signOnline(trx, isSnapshotOld ? ['snapshot', 'timestamp'] : ['timestamp'], around, now)
        return true
      })
      if (signed) changed.tell()
      return signed
    },

    async signForMedium(expiresAt, who) {
      const signed = await transaction(async (trx) => {
        const medium = await signForMedium(trx, expiresAt, around, clock())
        const detail = { validUntil: toRfc3339(medium.validUntil) }
        await audit.append(trx, { who, action: 'medium.sign', subject: `${medium.version}`, detail })
        return medium
      })
      changed.tell()
      return signed
    },
  }
}
