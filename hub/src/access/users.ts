import { uuidv7 } from 'uuidv7'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import {
  consumeLoginLink,
  deleteInvitationsOf,
  deleteSessionsOf,
  insertLoginLink,
  invitationOf,
  sessionsOf,
} from '../store/access-store.ts'
import type { Database, Db } from '../store/database.ts'
import {
  allUsers,
  insertUser,
  passwordOf,
  updateUser,
  userById,
  userByName,
  userByOidc,
} from '../store/user-store.ts'
import type { Audit } from '../trust/audit.ts'
import { type StartedSession, startSessionOf } from './access.ts'
import { FailureLog } from './failure-log.ts'
import { hashPassword, isPassword } from './password.ts'
import type { Role } from './role.ts'
import { hashOfSecret, newSecret } from './secret.ts'
import { Throttle } from './throttle.ts'
import type { User } from './user.ts'

export type LoginVerdict =
  | ({ loggedIn: true } & StartedSession)
  | { loggedIn: false; because: 'wrong' }
  | { loggedIn: false; because: 'throttled'; waitMs: number }

/** Who a provider says somebody is, after its signature and all else were checked. */
export type Introduction = { issuer: string; subject: string; name: string; roles: readonly Role[] }
export type IntroductionVerdict =
  | ({ loggedIn: true } & StartedSession)
  | { loggedIn: false; because: 'no-role' | 'name-taken' | 'disabled' }

/** People: who they are, what they may do, and how they get in. */
export type Users = {
  all(): Promise<User[]>
  byId(id: string): Promise<User | undefined>
  byName(name: string): Promise<User | undefined>
  /** Undefined when the name is taken. They get in by an invitation, or through a provider that names them. */
  create(name: string, roles: readonly Role[], who: string): Promise<User | undefined>
  /** A link by which this person chooses a password, once; the ones before it open nothing any more. */
  invite(id: string, who: string): Promise<{ secret: string; expiresAt: number } | undefined>
  /** Whom a link invites, if it is still good. */
  invited(secret: string): Promise<User | undefined>
  acceptInvitation(secret: string, password: string): Promise<StartedSession | undefined>
  login(name: string, password: string, address: string): Promise<LoginVerdict>
  introduce(introduction: Introduction, address: string): Promise<IntroductionVerdict>
  /** False when the old one is wrong. Ends their other sessions. */
  changePassword(id: string, old: string, next: string, session: string): Promise<boolean>
  setRoles(id: string, roles: readonly Role[], who: string): Promise<User | undefined>
  disable(id: string, who: string): Promise<User | undefined>
  enable(id: string, who: string): Promise<User | undefined>
  sessions(id: string): Promise<{ id: string; startedAt: number; expiresAt: number }[]>
  /** All of them but the one that asks, if that is one. */
  endSessions(id: string, who: string, except?: string): Promise<number>
  /** A token or session that is none was used. */
  refused(because: string, address: string): Promise<void>
}

type Settings = Pick<HubConfig['access'], 'sessionMs' | 'invitationMs'>

export function createUsers(
  database: Database,
  clock: Clock,
  audit: Audit,
  { sessionMs, invitationMs }: Settings,
): Users {
  const { db, transaction } = database
  const throttle = new Throttle()
  const failures = new FailureLog(database, audit, clock)

  async function start(trx: Db, user: User, via: string): Promise<StartedSession> {
    const now = clock()
    await updateUser(trx, user.id, { lastLoginAt: now })
    await audit.append(trx, { who: user.name, action: 'session.start', subject: user.name, detail: { via } })
    return startSessionOf(trx, user, { now, sessionMs })
  }

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
        if (await userByName(trx, name)) return undefined
        const user: User = { id: uuidv7(), name, roles, hasPassword: false, createdAt: clock() }
        await insertUser(trx, user, undefined)
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

    async acceptInvitation(secret, password) {
      const stored = await hashPassword(password)
      return transaction(async (trx) => {
        const link = await consumeLoginLink(trx, hashOfSecret(secret), 'invitation', clock())
        const user = link?.userId === undefined ? undefined : await userById(trx, link.userId)
        if (!user || user.disabledAt !== undefined) return undefined
        await updateUser(trx, user.id, { password: stored })
        await deleteSessionsOf(trx, user.id)
        await audit.append(trx, { who: user.name, action: 'user.password', subject: user.name })
        return start(trx, user, 'invitation')
      })
    },

    async login(name, password, address) {
      const [byName, byAddress] = [`name ${name}`, `address ${address}`]
      const waitMs = Math.max(throttle.waitMs(byName, clock()), throttle.waitMs(byAddress, clock()))
      if (waitMs > 0) return { loggedIn: false, because: 'throttled', waitMs }
      const user = await userByName(db, name)
      const isRight = await isPassword(password, user && (await passwordOf(db, user.id)))
      if (!user || !isRight || user.disabledAt !== undefined) {
        throttle.failed(byName, clock())
        throttle.failed(byAddress, clock())
        const why = isRight ? 'disabled' : user ? 'wrong_password' : 'unknown_name'
        await failures.note('login.failed', user?.name ?? 'unknown', why, address)
        return { loggedIn: false, because: 'wrong' }
      }
      throttle.succeeded(byName)
      return { loggedIn: true, ...(await transaction((trx) => start(trx, user, 'password'))) }
    },

    async introduce({ issuer, subject, name, roles }, address) {
      const verdict = await transaction(async (trx): Promise<IntroductionVerdict> => {
        const known = await userByOidc(trx, issuer, subject)
        if (known?.disabledAt !== undefined) return { loggedIn: false, because: 'disabled' }
        if (roles.length === 0) return { loggedIn: false, because: 'no-role' }
        if (!known && (await userByName(trx, name))) return { loggedIn: false, because: 'name-taken' }
        const oidc = { issuer, subject }
        const user: User = known ?? {
          id: uuidv7(),
          name,
          roles,
          hasPassword: false,
          oidc,
          createdAt: clock(),
        }
        if (!known) {
          await insertUser(trx, user, undefined)
          await audit.append(trx, {
            who: name,
            action: 'user.create',
            subject: name,
            detail: { roles, issuer },
          })
        } else if (known.roles.join() !== roles.join()) {
          await updateUser(trx, known.id, { roles })
          const detail = { from: known.roles, to: roles, issuer }
          await audit.append(trx, { who: known.name, action: 'user.roles', subject: known.name, detail })
        }
        return { loggedIn: true, ...(await start(trx, user, 'oidc')) }
      })
      if (!verdict.loggedIn) await failures.note('login.failed', 'unknown', verdict.because, address)
      return verdict
    },

    async changePassword(id, old, next, session) {
      const user = await userById(db, id)
      if (!user) return false
      const key = `name ${user.name}`
      if (throttle.waitMs(key, clock()) > 0 || !(await isPassword(old, await passwordOf(db, id)))) {
        throttle.failed(key, clock())
        return false
      }
      const stored = await hashPassword(next)
      await transaction(async (trx) => {
        await updateUser(trx, id, { password: stored })
        await deleteSessionsOf(trx, id, hashOfSecret(session))
        await audit.append(trx, { who: user.name, action: 'user.password', subject: user.name })
      })
      return true
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

    sessions: async (id) =>
      (await sessionsOf(db, id, clock())).map(({ hash, createdAt, expiresAt }) => ({
        // Names it without opening it: the secret that a browser holds hashes to this, and not the other way.
        id: hash.slice(0, 12),
        startedAt: createdAt,
        expiresAt,
      })),

    endSessions: (id, who, except) =>
      transaction(async (trx) => {
        const user = await userById(trx, id)
        if (!user) return 0
        const ended = await deleteSessionsOf(trx, id, except === undefined ? '' : hashOfSecret(except))
        await audit.append(trx, { who, action: 'session.end-all', subject: user.name, detail: { ended } })
        return ended
      }),

    refused: (because, address) => failures.note('access.refused', 'unknown', because, address),
  }
}
