import {
  driftVerdict,
  startVerdict,
  takeWindow,
  type Verdict,
  type VerdictState,
} from '@godwit/protocol/drift/verdict'
import type { EpochMs } from '@godwit/protocol/units'
import { sql } from 'kysely'
import type { Feed } from '../feed.ts'
import type { Db } from '../store/database.ts'
import type { Range } from '../telemetry/ranges.ts'
import { driftOfWindows, type StreamKey, streamState } from '../telemetry/telemetry-store.ts'
import type { KnownProfile, Profiles } from './profiles.ts'

/** What is known of one device's slot under one release, since its last activation. */
type DriftState = {
  session: string
  /** When the hub first heard of the session: a late record of an older spool must not start anything anew. */
  sessionAt: EpochMs
  /** Drift windows that did not fit the profile. They count neither for nor against the device. */
  malformed: number
  verdict: VerdictState
}

export type DriftVerdict = Verdict & {
  deviceId: string
  slot: string
  model: string
  version: string
  releaseDigest: string
  malformed: number
  updatedAt: EpochMs
  /** Of the release that the slot runs now. An old release's verdict stays on record; it is no news. */
  isRunning: boolean
}
/** Where a verdict stands in the list: worst first, then by device, slot and release. */
export type DriftKey = { evidence: number; deviceId: string; slot: string; releaseDigest: string }

type Windows = Awaited<ReturnType<typeof driftOfWindows>>
const page = 256

/**
 * Draws the hub's own conclusions from the devices' counts: a device reports what it saw, not whether it drifted.
 * Windows are taken in the order of their sequence, however they arrived, so that the same telemetry always comes to
 * the same verdict.
 */
export class DriftBook {
  readonly #profiles: Profiles
  readonly #feed: Feed

  constructor(profiles: Profiles, feed: Feed) {
    this.#profiles = profiles
    this.#feed = feed
  }

  /** @param settled window records that have become complete; in the transaction that stored them */
  async take(trx: Db, key: StreamKey, settled: Range, at: EpochMs): Promise<void> {
    const sessionAt = (await streamState(trx, key))?.firstAt ?? at
    let from = settled[0]
    for (;;) {
      const windows = await driftOfWindows(trx, key, [from, settled[1]], page)
      await this.#takePage(trx, key, sessionAt, windows, at)
      if (windows.length < page) return
      from = windows[windows.length - 1]!.seq + 1
    }
  }

  async #takePage(trx: Db, key: StreamKey, sessionAt: EpochMs, windows: Windows, at: EpochMs): Promise<void> {
    const groups = new Map<string, Windows>()
    for (const window of windows) {
      if (window.drift.length === 0) continue
      const group = `${window.slot}\n${window.releaseDigest}`
      groups.set(group, [...(groups.get(group) ?? []), window])
    }
    for (const group of groups.values()) {
      const known = await this.#profiles.of(trx, group[0]!.releaseDigest)
      if (known) await this.#takeGroup(trx, key, sessionAt, group, known, at)
    }
  }

  async #takeGroup(
    trx: Db,
    key: StreamKey,
    sessionAt: EpochMs,
    windows: Windows,
    { profile, windowsNeeded }: KnownProfile,
    at: EpochMs,
  ): Promise<void> {
    const { slot, releaseDigest, model, version } = windows[0]!
    const place = { deviceId: key.deviceId, slot, releaseDigest }
    const before = await readState(trx, place)
    if (before && before.state.session !== key.session && sessionAt < before.state.sessionAt) return
    let { malformed, verdict } = before?.state ?? { malformed: 0, verdict: startVerdict(profile) }
    for (const window of windows.flatMap(({ drift }) => drift)) {
      // Records come in order, so an index that does not rise is a device that counts anew: a fresh activation.
      if (window.index <= verdict.lastIndex) verdict = startVerdict(profile)
      const taken = takeWindow(profile, verdict, window)
      if (taken.taken) verdict = taken.state
      else malformed++
    }
    const state: DriftState = { session: key.session, sessionAt, malformed, verdict }
    const concluded = driftVerdict(profile, verdict, windowsNeeded)
    await writeState(trx, place, state, concluded, at)
    if (concluded.state !== (before?.word ?? 'not-enough-data')) {
      const { state: word, evidence, peak, threshold, lead } = concluded
      const data = { ...place, model, version, state: word, evidence, peak, threshold, lead }
      await this.#feed.append(trx, { topic: `device:${key.deviceId}`, type: 'drift.verdict', data })
    }
  }
}

type Place = { deviceId: string; slot: string; releaseDigest: string }

async function readState(db: Db, { deviceId, slot, releaseDigest }: Place) {
  const row = await db
    .selectFrom('drift_state')
    .select(['state_json', 'verdict'])
    .where('device_id', '=', deviceId)
    .where('slot', '=', slot)
    .where('release_digest', '=', releaseDigest)
    .executeTakeFirst()
  return row && { state: JSON.parse(row.state_json) as DriftState, word: row.verdict }
}

async function writeState(
  db: Db,
  place: Place,
  state: DriftState,
  verdict: Verdict,
  at: EpochMs,
): Promise<void> {
  const values = {
    state_json: JSON.stringify(state),
    verdict_json: JSON.stringify({ ...verdict, malformed: state.malformed }),
    verdict: verdict.state,
    evidence: verdict.evidence,
    lead: verdict.lead?.feature ?? null,
    updated_at: at,
  }
  await db
    .insertInto('drift_state')
    .values({ device_id: place.deviceId, slot: place.slot, release_digest: place.releaseDigest, ...values })
    .onConflict((conflict) => conflict.columns(['device_id', 'slot', 'release_digest']).doUpdateSet(values))
    .execute()
}

/** Worst first. With `deviceId`: of one device. */
export async function driftVerdicts(
  db: Db,
  options: { deviceId?: string | undefined; limit?: number; after?: DriftKey | undefined } = {},
): Promise<DriftVerdict[]> {
  let query = db
    .selectFrom('drift_state as s')
    .leftJoin('version as v', 'v.release_digest', 's.release_digest')
    .leftJoin('device_slot as d', (join) =>
      join.onRef('d.device_id', '=', 's.device_id').onRef('d.slot', '=', 's.slot'),
    )
    .select([
      's.device_id',
      's.slot',
      's.release_digest',
      's.verdict_json',
      's.updated_at',
      'v.model',
      'v.version',
      'd.release_digest as running',
    ])
    .orderBy('s.evidence', 'desc')
    .orderBy('s.device_id')
    .orderBy('s.slot')
    .orderBy('s.release_digest')
  if (options.deviceId !== undefined) query = query.where('s.device_id', '=', options.deviceId)
  if (options.after !== undefined) {
    const { evidence, deviceId, slot, releaseDigest } = options.after
    query = query.where('s.evidence', '<=', evidence).where(
      sql<boolean>`(s.evidence < ${evidence}
        or (s.device_id, s.slot, s.release_digest) > (${deviceId}, ${slot}, ${releaseDigest}))`,
    )
  }
  if (options.limit !== undefined) query = query.limit(options.limit)
  return (await query.execute()).map((row) => ({
    deviceId: row.device_id,
    slot: row.slot,
    releaseDigest: row.release_digest,
    model: row.model ?? '',
    version: row.version ?? '',
    updatedAt: row.updated_at,
    isRunning: row.running === row.release_digest,
    ...(JSON.parse(row.verdict_json) as Verdict & { malformed: number }),
  }))
}
