import type { Selectable } from 'kysely'
import type { ApiToken } from '../access/access.ts'
import type { Role } from '../access/role.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'
import { rolesOf, rolesText } from './user-store.ts'

export async function insertToken(db: Db, token: ApiToken, hash: string): Promise<void> {
  const { id, name, roles, scopes, userId, createdAt, expiresAt } = token
  const times = { created_at: createdAt, expires_at: expiresAt ?? null, revoked_at: null, last_used_at: null }
  const scopesJson = scopes === undefined ? null : JSON.stringify(scopes)
  await db
    .insertInto('api_token')
    .values({
      id,
      name,
      role: rolesText(roles),
      scopes_json: scopesJson,
      user_id: userId ?? null,
      hash,
      ...times,
    })
    .execute()
}

/** Of everybody, or of one user. */
export async function allTokens(db: Db, userId?: string): Promise<ApiToken[]> {
  const all = db.selectFrom('api_token').selectAll().orderBy('id')
  const rows = await (userId === undefined ? all : all.where('user_id', '=', userId)).execute()
  return rows.map(toToken)
}

export async function tokenByHash(db: Db, hash: string): Promise<ApiToken | undefined> {
  const row = await db.selectFrom('api_token').selectAll().where('hash', '=', hash).executeTakeFirst()
  return row && toToken(row)
}

export async function tokenById(db: Db, id: string): Promise<ApiToken | undefined> {
  const row = await db.selectFrom('api_token').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toToken(row)
}

export async function markTokenUsed(db: Db, id: string, at: number): Promise<void> {
  await db.updateTable('api_token').set({ last_used_at: at }).where('id', '=', id).execute()
}

/** The first revocation's time stays. */
export async function markTokenRevoked(db: Db, id: string, at: number): Promise<ApiToken | undefined> {
  const revocation = db.updateTable('api_token').set({ revoked_at: at }).where('id', '=', id)
  await revocation.where('revoked_at', 'is', null).execute()
  return tokenById(db, id)
}

/** For a person, it lets them choose a password; for nobody, it opens one browser with these roles. */
export type LoginLink = {
  hash: string
  roles: readonly Role[]
  userId?: string
  createdAt: number
  expiresAt: number
}

export async function insertLoginLink(db: Db, link: LoginLink): Promise<void> {
  const { hash, roles, userId, createdAt, expiresAt } = link
  const times = { created_at: createdAt, expires_at: expiresAt, used_at: null }
  await db
    .insertInto('login_link')
    .values({ hash, role: rolesText(roles), user_id: userId ?? null, ...times })
    .execute()
}

/** Marks and reads in one statement's worth of certainty: of two who try at once, one gets in. */
export async function consumeLoginLink(
  db: Db,
  hash: string,
  kind: 'session' | 'invitation',
  now: number,
): Promise<{ roles: Role[]; userId?: string } | undefined> {
  const row = await db
    .updateTable('login_link')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .where('user_id', kind === 'session' ? 'is' : 'is not', null)
    .returning(['role', 'user_id'])
    .executeTakeFirst()
  return row && { roles: rolesOf(row.role), ...(row.user_id !== null && { userId: row.user_id }) }
}

/** Whose invitation it is, without using it up. */
export async function invitationOf(db: Db, hash: string, now: number): Promise<string | undefined> {
  const links = db.selectFrom('login_link').select('user_id').where('hash', '=', hash)
  const row = await links.where('used_at', 'is', null).where('expires_at', '>', now).executeTakeFirst()
  return row?.user_id ?? undefined
}

export async function deleteInvitationsOf(db: Db, userId: string): Promise<void> {
  await db.deleteFrom('login_link').where('user_id', '=', userId).execute()
}

export type BrowserSession = {
  hash: string
  who: string
  /** Of a link's session; a person's roles are those that the person has now. */
  roles: readonly Role[]
  userId?: string
  createdAt: number
  expiresAt: number
}

export async function insertSession(db: Db, session: BrowserSession): Promise<void> {
  const { hash, who, roles, userId, createdAt, expiresAt } = session
  const values = { hash, who, role: rolesText(roles), user_id: userId ?? null }
  await db
    .insertInto('browser_session')
    .values({ ...values, created_at: createdAt, expires_at: expiresAt })
    .execute()
}

export async function liveSession(db: Db, hash: string, now: number): Promise<BrowserSession | undefined> {
  const sessions = db.selectFrom('browser_session').selectAll()
  const row = await sessions.where('hash', '=', hash).where('expires_at', '>', now).executeTakeFirst()
  return row && toSession(row)
}

export async function sessionsOf(db: Db, userId: string, now: number): Promise<BrowserSession[]> {
  const sessions = db.selectFrom('browser_session').selectAll().where('user_id', '=', userId)
  return (await sessions.where('expires_at', '>', now).orderBy('created_at').execute()).map(toSession)
}

export async function deleteSession(db: Db, hash: string): Promise<void> {
  await db.deleteFrom('browser_session').where('hash', '=', hash).execute()
}

/** Answers how many there were. */
export async function deleteSessionsOf(db: Db, userId: string, exceptHash = ''): Promise<number> {
  const sessions = db.deleteFrom('browser_session').where('user_id', '=', userId)
  return Number((await sessions.where('hash', '!=', exceptHash).executeTakeFirst()).numDeletedRows)
}

export async function deleteExpiredAccess(db: Db, now: number): Promise<void> {
  await db.deleteFrom('browser_session').where('expires_at', '<=', now).execute()
  await db.deleteFrom('login_link').where('expires_at', '<=', now).execute()
}

/** True the first time that it is asked of a database. */
export async function isFirstStart(db: Db, now: number): Promise<boolean> {
  const mark = db.insertInto('setting').values({ key: 'first-started-at', value: String(now) })
  const { numInsertedOrUpdatedRows } = await mark.onConflict((on) => on.doNothing()).executeTakeFirst()
  return Number(numInsertedOrUpdatedRows) === 1
}

/** Somebody who can let others in: a token, a browser, or a person who can log in. */
export async function adminExists(db: Db, now: number): Promise<boolean> {
  const admins = db
    .selectFrom('person')
    .select('id')
    .where('roles', 'like', '%admin%')
    .where('disabled_at', 'is', null)
  const token = await db
    .selectFrom('api_token')
    .select('id')
    .where('role', 'like', '%admin%')
    .where('scopes_json', 'is', null)
    .where((eb) => eb.or([eb('user_id', 'is', null), eb('user_id', 'in', admins)]))
    .where('revoked_at', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .executeTakeFirst()
  if (token) return true
  const sessions = db.selectFrom('browser_session').select('hash').where('role', 'like', '%admin%')
  if (await sessions.where('expires_at', '>', now).executeTakeFirst()) return true
  const able = admins.where((eb) =>
    eb.or([eb('password', 'is not', null), eb('oidc_subject', 'is not', null)]),
  )
  return (await able.executeTakeFirst()) !== undefined
}

function toSession(row: Selectable<Tables['browser_session']>): BrowserSession {
  return {
    hash: row.hash,
    who: row.who,
    roles: rolesOf(row.role),
    ...(row.user_id !== null && { userId: row.user_id }),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }
}

function toToken(row: Selectable<Tables['api_token']>): ApiToken {
  return {
    id: row.id,
    name: row.name,
    roles: rolesOf(row.role),
    ...(row.scopes_json !== null && { scopes: JSON.parse(row.scopes_json) as string[] }),
    ...(row.user_id !== null && { userId: row.user_id }),
    createdAt: row.created_at,
    ...(row.expires_at !== null && { expiresAt: row.expires_at }),
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
    ...(row.last_used_at !== null && { lastUsedAt: row.last_used_at }),
  }
}
