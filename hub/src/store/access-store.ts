import type { Selectable } from 'kysely'
import type { ApiToken, Role } from '../access/access.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function insertToken(db: Db, token: ApiToken, hash: string): Promise<void> {
  const { id, name, role, createdAt, expiresAt } = token
  const times = { created_at: createdAt, expires_at: expiresAt ?? null, revoked_at: null, last_used_at: null }
  await db
    .insertInto('api_token')
    .values({ id, name, role, hash, ...times })
    .execute()
}

export async function allTokens(db: Db): Promise<ApiToken[]> {
  return (await db.selectFrom('api_token').selectAll().orderBy('id').execute()).map(toToken)
}

export async function tokenByHash(db: Db, hash: string): Promise<ApiToken | undefined> {
  const row = await db.selectFrom('api_token').selectAll().where('hash', '=', hash).executeTakeFirst()
  return row && toToken(row)
}

export async function markTokenUsed(db: Db, id: string, at: number): Promise<void> {
  await db.updateTable('api_token').set({ last_used_at: at }).where('id', '=', id).execute()
}

/** The first revocation's time stays. */
export async function markTokenRevoked(db: Db, id: string, at: number): Promise<ApiToken | undefined> {
  const revocation = db.updateTable('api_token').set({ revoked_at: at }).where('id', '=', id)
  await revocation.where('revoked_at', 'is', null).execute()
  const row = await db.selectFrom('api_token').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toToken(row)
}

export async function insertLoginLink(
  db: Db,
  link: { hash: string; role: Role; createdAt: number; expiresAt: number },
): Promise<void> {
  const { hash, role, createdAt, expiresAt } = link
  const values = { hash, role, created_at: createdAt, expires_at: expiresAt, used_at: null }
  await db.insertInto('login_link').values(values).execute()
}

/** Marks and reads in one statement's worth of certainty: of two who try at once, one gets the role. */
export async function consumeLoginLink(db: Db, hash: string, now: number): Promise<Role | undefined> {
  const row = await db
    .updateTable('login_link')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .returning('role')
    .executeTakeFirst()
  return row?.role as Role | undefined
}

export type BrowserSession = { hash: string; who: string; role: Role; createdAt: number; expiresAt: number }

export async function insertSession(db: Db, session: BrowserSession): Promise<void> {
  const { hash, who, role, createdAt, expiresAt } = session
  await db
    .insertInto('browser_session')
    .values({ hash, who, role, created_at: createdAt, expires_at: expiresAt })
    .execute()
}

export async function liveSession(db: Db, hash: string, now: number): Promise<BrowserSession | undefined> {
  const sessions = db.selectFrom('browser_session').selectAll()
  const row = await sessions.where('hash', '=', hash).where('expires_at', '>', now).executeTakeFirst()
  return (
    row && {
      hash,
      who: row.who,
      role: row.role as Role,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }
  )
}

export async function deleteSession(db: Db, hash: string): Promise<void> {
  await db.deleteFrom('browser_session').where('hash', '=', hash).execute()
}

export async function deleteExpiredAccess(db: Db, now: number): Promise<void> {
  await db.deleteFrom('browser_session').where('expires_at', '<=', now).execute()
  await db.deleteFrom('login_link').where('expires_at', '<=', now).execute()
}

export async function adminExists(db: Db, now: number): Promise<boolean> {
  const token = await db
    .selectFrom('api_token')
    .select('id')
    .where('role', '=', 'admin')
    .where('revoked_at', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .executeTakeFirst()
  if (token) return true
  const sessions = db.selectFrom('browser_session').select('hash').where('role', '=', 'admin')
  return (await sessions.where('expires_at', '>', now).executeTakeFirst()) !== undefined
}

function toToken(row: Selectable<Tables['api_token']>): ApiToken {
  return {
    id: row.id,
    name: row.name,
    role: row.role as Role,
    createdAt: row.created_at,
    ...(row.expires_at !== null && { expiresAt: row.expires_at }),
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
    ...(row.last_used_at !== null && { lastUsedAt: row.last_used_at }),
  }
}
