import type { FeedEntry, FeedRow } from '../feed.ts'
import type { Db } from './database.ts'

export async function insertFeed(db: Db, entry: FeedEntry & { at: number }): Promise<void> {
  const { at, topic, type, data } = entry
  await db
    .insertInto('feed')
    .values({ at, topic, type, data_json: JSON.stringify(data) })
    .execute()
}

export async function feedAfter(db: Db, id: number, limit: number): Promise<FeedRow[]> {
  const rows = await db
    .selectFrom('feed')
    .selectAll()
    .where('id', '>', id)
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(({ data_json, ...row }) => ({
    ...row,
    type: row.type as FeedRow['type'],
    data: JSON.parse(data_json),
  }))
}

/** Zero when nothing was ever appended. The id counter survives pruning, so this never goes back. */
export async function lastFeedId(db: Db): Promise<number> {
  const row = await db
    .selectFrom('feed')
    .select(({ fn }) => fn.max('id').as('id'))
    .executeTakeFirst()
  return row?.id ?? 0
}

export async function oldestFeedId(db: Db): Promise<number | undefined> {
  const row = await db
    .selectFrom('feed')
    .select(({ fn }) => fn.min('id').as('id'))
    .executeTakeFirst()
  return row?.id ?? undefined
}

/** Keeps the newest entry whatever its age, so that `lastFeedId` stays true. */
export async function pruneFeed(db: Db, before: number): Promise<number> {
  const newest = await lastFeedId(db)
  const done = await db
    .deleteFrom('feed')
    .where('at', '<', before)
    .where('id', '<', newest)
    .executeTakeFirst()
  return Number(done.numDeletedRows)
}
