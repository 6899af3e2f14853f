import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import type { Clock } from '../clock.ts'
import type { Feed } from '../feed.ts'
import { auditAfter, auditBefore, insertAudit, lastAuditHash } from '../store/audit-store.ts'
import type { Db } from '../store/database.ts'

export type AuditEntry = {
  /** `token:ID`, `browser:NAME`, `device:ID` or `hub`. */
  who: string
  /** Noun and verb: `rollout.abort`. */
  action: string
  subject: string
  detail?: Record<string, unknown>
}
export type AuditRow = Required<AuditEntry> & { id: number; at: number; previousHash: string; hash: string }

/** Append-only. Each entry's hash covers the one before it: taking one out, or editing it, shows. */
export type Audit = {
  /** Inside the transaction of the deed, so that neither is there without the other. */
  append(db: Db, entry: AuditEntry): Promise<void>
  /** Newest first, from before this id on; undefined: from the newest. */
  before(id: number | undefined, limit: number): Promise<AuditRow[]>
  /** The id of the first entry that does not follow from the one before it, or undefined when all do. */
  verifyChain(): Promise<number | undefined>
}

const beginning = '0'.repeat(64)

export function createAudit(db: Db, clock: Clock, feed: Feed): Audit {
  return {
    async append(on, { who, action, subject, detail = {} }) {
      const previousHash = (await lastAuditHash(on)) ?? beginning
      const entry = { at: clock(), who, action, subject, detail, previousHash }
      await insertAudit(on, { ...entry, hash: hashOf(entry) })
      await feed.append(on, {
        topic: 'fleet',
        type: 'audit.entry',
        data: { at: entry.at, who, action, subject },
      })
    },
    before: (id, limit) => auditBefore(db, id ?? Number.MAX_SAFE_INTEGER, limit),
    async verifyChain() {
      let previousHash = beginning
      let id = 0
      for (;;) {
        const rows = await auditAfter(db, id, 500)
        if (rows.length === 0) return undefined
        for (const row of rows) {
          if (row.previousHash !== previousHash || row.hash !== hashOf(row)) return row.id
          previousHash = row.hash
          id = row.id
        }
      }
    },
  }
}

/** The detail goes in as JSON text, because evidence holds fractions and canonical JSON does not. */
function hashOf(row: Omit<AuditRow, 'id' | 'hash'>): string {
  const { at, who, action, subject, detail, previousHash } = row
  return sha256Hex(
    utf8(canonicalText({ at, who, action, subject, detail: JSON.stringify(detail), previousHash })),
  )
}
