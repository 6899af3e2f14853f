import { toRfc3339 } from '@godwit/protocol/units'
import type { Services } from '../services.ts'
import { auditAfter, checkpointsBetween } from '../store/audit-store.ts'

export const exportFormat = 'godwit-audit/1'

/**
 * The whole audit as JSON lines: a header, every root, each entry, each checkpoint right behind the entry it is
 * about, and an end that says how many there were. Root documents are text, so that their bytes survive. The last entry
 * is signed for before it leaves, so that what somebody takes off the end shows.
 */
export async function* exportLines({
  audit,
  database: { db },
  repository,
  config: { fleet },
  clock,
}: Pick<Services, 'audit' | 'database' | 'repository' | 'config' | 'clock'>): AsyncGenerator<string> {
  // The end first, the roots after it: every root that an entry speaks of is then among them.
  const { id: end } = await audit.checkpointNow()
  const line = (value: object) => `${JSON.stringify(value)}\n`
  yield line({ format: exportFormat, fleet, exportedAt: toRfc3339(clock()) })
  for (const { role, bytes } of await repository.current())
    if (role === 'root') yield line({ root: new TextDecoder().decode(bytes) })
  let entries = 0
  let checkpoints = 0
  for (let id = 0; id < end; ) {
    const rows = await auditAfter(db, id, Math.min(500, end - id))
    // Fewer than there must be: the reader of this export finds the hole, and the export goes on to show it.
    if (rows.length === 0) break
    const signed = new Map(
      (await checkpointsBetween(db, id + 1, rows.at(-1)!.id)).map((one) => [one.lastId, one.envelope]),
    )
    for (const row of rows) {
      yield line({ entry: row })
      entries++
      const envelope = signed.get(row.id)
      if (envelope === undefined) continue
      yield `{"checkpoint":${envelope}}\n`
      checkpoints++
    }
    id = rows.at(-1)!.id
  }
  yield line({ end: { entries, checkpoints } })
}
