import { type Selectable, sql } from 'kysely'
import { isRole, type Role } from '../access/role.ts'
import type { User } from '../access/user.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function insertUser(db: Db, user: User, password: string | undefined): Promise<void> {
  const { id, name, roles, oidc, createdAt } = user
  await db
    .insertInto('person')
    .values({
      ...{ id, name, roles: rolesText(roles), password: password ?? null, created_at: createdAt },
      ...{ oidc_issuer: oidc?.issuer ?? null, oidc_subject: oidc?.subject ?? null },
      ...{ disabled_at: null, last_login_at: null },
    })
    .execute()
}

export async function allUsers(db: Db): Promise<User[]> {
  return (await db.selectFrom('person').selectAll().orderBy('name').execute()).map(toUser)
}

/** Capitals make no other person: two names that a reader of the audit could confuse are one. */
export async function userByName(db: Db, name: string): Promise<User | undefined> {
  const people = db.selectFrom('person').selectAll()
  const row = await people.where(sql`lower(name)`, '=', name.toLowerCase()).executeTakeFirst()
  return row && toUser(row)
}

export async function userById(db: Db, id: string): Promise<User | undefined> {
  const row = await db.selectFrom('person').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toUser(row)
}

export async function userByOidc(db: Db, issuer: string, subject: string): Promise<User | undefined> {
  const people = db.selectFrom('person').selectAll().where('oidc_issuer', '=', issuer)
  const row = await people.where('oidc_subject', '=', subject).executeTakeFirst()
  return row && toUser(row)
}

/** Hash and parameters; undefined: nobody of that name, or none set. */
export async function passwordOf(db: Db, id: string): Promise<string | undefined> {
  const row = await db.selectFrom('person').select('password').where('id', '=', id).executeTakeFirst()
  return row?.password ?? undefined
}

export async function updateUser(
  db: Db,
  id: string,
  change: { roles?: readonly Role[]; password?: string; disabledAt?: number | null; lastLoginAt?: number },
): Promise<void> {
  const { roles, password, disabledAt, lastLoginAt } = change
  await db
    .updateTable('person')
    .set({
      ...(roles && { roles: rolesText(roles) }),
      ...(password !== undefined && { password }),
      ...(disabledAt !== undefined && { disabled_at: disabledAt }),
      ...(lastLoginAt !== undefined && { last_login_at: lastLoginAt }),
    })
    .where('id', '=', id)
    .execute()
}

export function rolesText(roles: readonly Role[]): string {
  return [...new Set(roles)].join(',')
}

/** What is no role of this hub's any more opens nothing. */
export function rolesOf(text: string): Role[] {
  return text.split(',').filter(isRole)
}

function toUser(row: Selectable<Tables['person']>): User {
  const { oidc_issuer: issuer, oidc_subject: subject } = row
  return {
    id: row.id,
    name: row.name,
    roles: rolesOf(row.roles),
    hasPassword: row.password !== null,
    ...(issuer !== null && subject !== null && { oidc: { issuer, subject } }),
    createdAt: row.created_at,
    ...(row.disabled_at !== null && { disabledAt: row.disabled_at }),
    ...(row.last_login_at !== null && { lastLoginAt: row.last_login_at }),
  }
}
