import { canonicalText } from '@godwit/protocol/trust/canonical'
import type { Clock } from '../clock.ts'
import type { Feed } from '../feed.ts'
import {
  auditAfter,
  auditBefore,
  checkpointsBetween,
  insertAudit,
  insertCheckpoint,
  lastAuditEntry,
  lastCheckpointId,
} from '../store/audit-store.ts'
import type { Database, Db } from '../store/database.ts'
import { beginning, type ChainEnd, type ChainedEntry, flawOfNext, hashOfEntry } from './audit-chain.ts'
import { checkpointAfterMs, checkpointEveryEntries, signedCheckpoint } from './audit-checkpoint.ts'

export type AuditEntry = {
  /** `token:ID`, `browser:NAME`, `device:ID` or `hub`. */
  who: string
  /** Noun and verb: `rollout.abort`. */
  action: string
  subject: string
  detail?: Record<string, unknown>
}
export type AuditRow = Required<AuditEntry> & { id: number; at: number; previousHash: string; hash: string }

/**
 * Append-only. Each entry's hash covers the one before it, and every so often the hub signs where the chain has got
 * to: taking an entry out, or editing it, shows.
 */
export type Audit = {
  /** Inside the transaction of the deed, so that neither is there without the other. */
  append(db: Db, entry: AuditEntry): Promise<void>
  /** Newest first, from before this id on; undefined: from the newest. */
  before(id: number | undefined, limit: number): Promise<AuditRow[]>
  /** The id of the first entry that is missing, changed or out of its place, or undefined when none is. */
  verifyChain(): Promise<number | undefined>
  /** Signs a checkpoint when entries have waited for one long enough. Answers whether it did. */
  checkpointIfDue(now: number): Promise<boolean>
  /** Signs where the chain ends now, if that is not signed yet: what leaves this hub is covered to its last entry. */
  checkpointNow(): Promise<ChainEnd>
}

type Signing = { fleet: string; directorSeed: Uint8Array }

export function createAudit(
  { db, transaction }: Database,
  clock: Clock,
  feed: Feed,
  { fleet, directorSeed }: Signing,
): Audit {
  async function checkpoint(trx: Db, { id, hash }: ChainEnd, at: number): Promise<void> {
    const envelope = canonicalText(signedCheckpoint({ fleet, lastId: id, hash, at }, directorSeed))
    await insertCheckpoint(trx, { lastId: id, hash, envelope }, at)
  }

  return {
    async append(on, deed) {
      const at = clock()
      const { who, action, subject } = deed
      const entry = await appendEntry(on, deed, at)
      if (entry.id - (await lastCheckpointId(on)) >= checkpointEveryEntries) await checkpoint(on, entry, at)
      await feed.append(on, { topic: 'fleet', type: 'audit.entry', data: { at, who, action, subject } })
    },

    before: async (id, limit) => (await auditBefore(db, id ?? Number.MAX_SAFE_INTEGER, limit)).map(toRow),

    verifyChain: () => firstFlaw(db),

    checkpointIfDue: (now) =>
      transaction(async (trx) => {
        const covered = await lastCheckpointId(trx)
        const waiting = (await auditAfter(trx, covered, 1))[0]
        // The first one at once: without any, nothing of the audit can be proved.
        if (!waiting || (covered > 0 && now - waiting.at < checkpointAfterMs)) return false
        await checkpoint(trx, (await lastAuditEntry(trx))!, now)
        return true
      }),

    checkpointNow: () =>
      transaction(async (trx) => {
        const end = (await lastAuditEntry(trx)) ?? beginning
        if (end.id > (await lastCheckpointId(trx))) await checkpoint(trx, end, clock())
        return end
      }),
  }
}

/** The entry alone, for the deeds that make a hub: nobody listens yet, and nothing is signed yet. */
export async function appendEntry(
  on: Db,
  { who, action, subject, detail = {} }: AuditEntry,
  at: number,
): Promise<ChainedEntry> {
  const previous = (await lastAuditEntry(on)) ?? beginning
  const described = { id: previous.id + 1, at, who, action, subject, detail: JSON.stringify(detail) }
  const linked = { ...described, previousHash: previous.hash }
  const entry = { ...linked, hash: hashOfEntry(linked) }
  await insertAudit(on, entry)
  return entry
}

/** Compares with the checkpoints as they are stored; that they are signed is for `audit verify` to prove. */
async function firstFlaw(db: Db): Promise<number | undefined> {
  let end: ChainEnd = beginning
  for (;;) {
    const rows = await auditAfter(db, end.id, 500)
    const last = rows.at(-1)?.id ?? Number.MAX_SAFE_INTEGER
    const signed = await checkpointsBetween(db, end.id + 1, last)
    if (rows.length === 0) return signed.length > 0 ? end.id + 1 : undefined
    const hashes = new Map(signed.map(({ lastId, hash }) => [lastId, hash]))
    for (const row of rows) {
      if (flawOfNext(end, row) || (hashes.get(row.id) ?? row.hash) !== row.hash) return row.id
      end = row
    }
  }
}

function toRow({ detail, ...entry }: ChainedEntry): AuditRow {
  return { ...entry, detail: JSON.parse(detail) as Record<string, unknown> }
}
