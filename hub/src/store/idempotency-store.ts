import type { Db } from './database.ts'

/** A request with an `Idempotency-Key`: whose, which, and what it asked. */
export type Once = { who: string; key: string; requestSha256: string }
export type Remembered = { requestSha256: string; subject: string; answer: unknown }

/** Long enough for a program that was down over night to ask again. Milliseconds. */
export const rememberedMs = 24 * 60 * 60_000

/** In the transaction of the deed, so that neither is there without the other. Forgets what is too old. */
export async function remember(
  db: Db,
  { who, key, requestSha256 }: Once,
  subject: string,
  at: number,
): Promise<void> {
  await db
    .deleteFrom('idempotency_key')
    .where('at', '<=', at - rememberedMs)
    .execute()
  const values = { who, key, request_sha256: requestSha256, subject, answer_json: null, at }
  await db.insertInto('idempotency_key').values(values).execute()
}

export async function rememberAnswer(
  db: Db,
  { who, key }: Pick<Once, 'who' | 'key'>,
  answer: unknown,
): Promise<void> {
  await db
    .updateTable('idempotency_key')
    .set({ answer_json: JSON.stringify(answer) })
    .where('who', '=', who)
    .where('key', '=', key)
    .execute()
}

export async function remembered(
  db: Db,
  { who, key }: Pick<Once, 'who' | 'key'>,
  now: number,
): Promise<Remembered | undefined> {
  const row = await db
    .selectFrom('idempotency_key')
    .selectAll()
    .where('who', '=', who)
    .where('key', '=', key)
    .where('at', '>', now - rememberedMs)
    .executeTakeFirst()
  if (!row) return undefined
  const { request_sha256: requestSha256, subject, answer_json } = row
  return { requestSha256, subject, answer: answer_json === null ? undefined : JSON.parse(answer_json) }
}
