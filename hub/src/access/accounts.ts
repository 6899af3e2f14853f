import { uuidv7 } from 'uuidv7'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import {
  deleteInvitationsOf,
  deleteSession,
  deleteSessionsOf,
  insertLoginLink,
  invitationOf,
  sessionsOf,
} from '../store/access-store.ts'
import type { Database, Db } from '../store/database.ts'
import { allUsers, insertUser, updateUser, userById, userByName } from '../store/user-store.ts'
import type { Audit } from '../trust/audit.ts'
import type { Role } from './role.ts'
import { hashOfSecret, newSecret } from './secret.ts'
import { isUserName, type User } from './user.ts'

/** Who there is, what they may do, and where they are logged in. */
export type Accounts = {
  all(): Promise<User[]>
  byId(id: string): Promise<User | undefined>
  byName(name: string): Promise<User | undefined>
  /** Undefined when the name is taken or nobody's. They get in by an invitation. */
  create(name: string, roles: readonly Role[], who: string): Promise<User | undefined>
  /** A link by which this person chooses a password, once; the ones before it open nothing any more. */
  invite(id: string, who: string): Promise<{ secret: string; expiresAt: number } | undefined>
  /** Whom a link invites, if it is still good. */
  invited(secret: string): Promise<User | undefined>
  setRoles(id: string, roles: readonly Role[], who: string): Promise<User | undefined>
  disable(id: string, who: string): Promise<User | undefined>
  enable(id: string, who: string): Promise<User | undefined>
  /** @param own the session that asks: it is marked */
  sessions(id: string, own?: string): Promise<UserSession[]>
  /** One of theirs, by its id; false when it is none of theirs. */
  endSession(id: string, sessionId: string, who: string): Promise<boolean>
  /** All of them but the one that asks, if that is one. */
  endSessions(id: string, who: string, except?: string): Promise<number>
}
export type UserSession = { id: string; startedAt: number; expiresAt: number; isThis: boolean }

/** Names a session without opening it: the secret that a browser holds hashes to this, and not the other way. */
const idOfSession = (hash: string) => hash.slice(0, 12)

export function createAccounts(
  { db, transaction }: Database,
  clock: Clock,
  audit: Audit,
  { invitationMs }: Pick<HubConfig['access'], 'invitationMs'>,
): Accounts {
  const changed = (
    id: string,
    who: string,
    action: string,
    change: (trx: Db, user: User) => Promise<object>,
  ) =>
    transaction(async (trx) => {
      const user = await userById(trx, id)
      if (!user) return undefined
      const detail = (await change(trx, user)) as Record<string, unknown>
      await audit.append(trx, { who, action, subject: user.name, detail })
      return userById(trx, id)
    })

  return {
    all: () => allUsers(db),
    byId: (id) => userById(db, id),
    byName: (name) => userByName(db, name),

    create: (name, roles, who) =>
      transaction(async (trx) => {
        if (!isUserName(name) || (await userByName(trx, name))) return undefined
        const user = await addUser(trx, { name, roles }, clock())
        await audit.append(trx, { who, action: 'user.create', subject: name, detail: { roles } })
        return user
      }),

    invite: (id, who) =>
      transaction(async (trx) => {
        const user = await userById(trx, id)
        if (!user) return undefined
        const secret = newSecret()
        const createdAt = clock()
        const expiresAt = createdAt + invitationMs
        await deleteInvitationsOf(trx, id)
        await insertLoginLink(trx, {
          hash: hashOfSecret(secret),
          roles: [],
          userId: id,
          createdAt,
          expiresAt,
        })
        await audit.append(trx, { who, action: 'user.invite', subject: user.name })
        return { secret, expiresAt }
      }),

    async invited(secret) {
      const userId = await invitationOf(db, hashOfSecret(secret), clock())
      const user = userId === undefined ? undefined : await userById(db, userId)
      return user?.disabledAt === undefined ? user : undefined
    },

    setRoles: (id, roles, who) =>
      changed(id, who, 'user.roles', async (trx, user) => {
        await updateUser(trx, id, { roles })
        return { from: user.roles, to: roles }
      }),

    disable: (id, who) =>
      changed(id, who, 'user.disable', async (trx) => {
        await updateUser(trx, id, { disabledAt: clock() })
        await deleteInvitationsOf(trx, id)
        return { sessionsEnded: await deleteSessionsOf(trx, id) }
      }),

    enable: (id, who) =>
      changed(id, who, 'user.enable', async (trx) => {
        await updateUser(trx, id, { disabledAt: null })
        return {}
      }),

    sessions: async (id, own) =>
      (await sessionsOf(db, id, clock())).map(({ hash, createdAt, expiresAt }) => ({
        id: idOfSession(hash),
        startedAt: createdAt,
        expiresAt,
        isThis: own !== undefined && hash === hashOfSecret(own),
      })),

    endSession: (id, sessionId, who) =>
      transaction(async (trx) => {
        const user = await userById(trx, id)
        const found = (await sessionsOf(trx, id, clock())).find(({ hash }) => idOfSession(hash) === sessionId)
        if (!user || !found) return false
        await deleteSession(trx, found.hash)
        await audit.append(trx, {
          who,
          action: 'session.end',
          subject: user.name,
          detail: { session: sessionId },
        })
        return true
      }),

    endSessions: (id, who, except) =>
      transaction(async (trx) => {
        const user = await userById(trx, id)
        if (!user) return 0
        const ended = await deleteSessionsOf(trx, id, except === undefined ? '' : hashOfSecret(except))
        await audit.append(trx, { who, action: 'session.end-all', subject: user.name, detail: { ended } })
        return ended
      }),
  }
}

/** @param password as it is stored, with its parameters */
export async function addUser(
  trx: Db,
  given: Pick<User, 'name' | 'roles' | 'oidc'>,
  createdAt: number,
  password?: string,
): Promise<User> {
  const user: User = { id: uuidv7(), ...given, hasPassword: password !== undefined, createdAt }
  await insertUser(trx, user, password)
  return user
}
