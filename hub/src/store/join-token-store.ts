import type { Selectable } from 'kysely'
import type { JoinToken } from '../fleet/enrolment.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function insertJoinToken(db: Db, token: JoinToken, hash: string): Promise<void> {
  await db
    .insertInto('join_token')
    .values({
      id: token.id,
      hash,
      labels_json: JSON.stringify(token.labels),
      device_id: token.deviceId ?? null,
      uses_max: token.usesMax,
      uses: token.uses,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: null,
    })
    .execute()
}

export async function allJoinTokens(db: Db): Promise<JoinToken[]> {
  return (await db.selectFrom('join_token').selectAll().orderBy('id').execute()).map(toJoinToken)
}

export async function joinTokenByHash(db: Db, hash: string): Promise<JoinToken | undefined> {
  const row = await db.selectFrom('join_token').selectAll().where('hash', '=', hash).executeTakeFirst()
  return row && toJoinToken(row)
}

export async function countJoin(db: Db, id: string): Promise<void> {
  await db
    .updateTable('join_token')
    .set(({ eb }) => ({ uses: eb('uses', '+', 1) }))
    .where('id', '=', id)
    .execute()
}

export async function markJoinTokenRevoked(db: Db, id: string, at: number): Promise<JoinToken | undefined> {
  const revocation = db.updateTable('join_token').set({ revoked_at: at }).where('id', '=', id)
  await revocation.where('revoked_at', 'is', null).execute()
  const row = await db.selectFrom('join_token').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toJoinToken(row)
}

function toJoinToken(row: Selectable<Tables['join_token']>): JoinToken {
  return {
    id: row.id,
    labels: JSON.parse(row.labels_json),
    ...(row.device_id !== null && { deviceId: row.device_id }),
    usesMax: row.uses_max,
    uses: row.uses,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
  }
}
