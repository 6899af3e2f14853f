import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import { consumeLoginLink, deleteSessionsOf, invitationOf } from '../store/access-store.ts'
import type { Database, Db } from '../store/database.ts'
import { passwordOf, updateUser, userById, userByName, userByOidc } from '../store/user-store.ts'
import type { Audit } from '../trust/audit.ts'
import { type StartedSession, startSessionOf } from './access.ts'
import { addUser } from './accounts.ts'
import { FailureLog } from './failure-log.ts'
import { networkOf } from './network.ts'
import { hashPassword, isPassword } from './password.ts'
import type { Role } from './role.ts'
import { hashOfSecret } from './secret.ts'
import { Throttle } from './throttle.ts'
import { isUserName, type User } from './user.ts'

export type LoginVerdict =
  | ({ loggedIn: true } & StartedSession)
  | { loggedIn: false; because: 'wrong' }
  | { loggedIn: false; because: 'throttled'; waitMs: number }
export type PasswordVerdict =
  | { changed: true }
  | { changed: false; because: 'wrong' | 'throttled'; waitMs: number }

/** Who a provider says somebody is, after its signature and all else were checked. */
export type Introduction = { issuer: string; subject: string; name: string; roles: readonly Role[] }
export type IntroductionVerdict =
  | ({ loggedIn: true } & StartedSession)
  | { loggedIn: false; because: 'no-role' | 'name-taken' | 'disabled' }

/** How people show who they are. */
export type Logins = {
  acceptInvitation(secret: string, password: string): Promise<StartedSession | undefined>
  login(name: string, password: string, address: string): Promise<LoginVerdict>
  introduce(introduction: Introduction, address: string): Promise<IntroductionVerdict>
  /** Whoever administers by a link alone becomes a person. Undefined when the name is taken or nobody's. */
  settle(name: string, password: string, who: string): Promise<StartedSession | undefined>
  /** Ends their other sessions. */
  changePassword(
    id: string,
    old: string,
    next: string,
    at: { session: string; address: string },
  ): Promise<PasswordVerdict>
  /** A token, link or session that is none was used. */
  refused(because: string, address: string): Promise<void>
}

export function createLogins(
  database: Database,
  clock: Clock,
  audit: Audit,
  { sessionMs }: Pick<HubConfig['access'], 'sessionMs'>,
): Logins {
  const { db, transaction } = database
  const throttle = new Throttle()
  const failures = new FailureLog(database, audit, clock)

  async function start(trx: Db, user: User, via: string): Promise<StartedSession> {
    const now = clock()
    await updateUser(trx, user.id, { lastLoginAt: now })
    await audit.append(trx, { who: user.name, action: 'session.start', subject: user.name, detail: { via } })
    return startSessionOf(trx, user, { now, sessionMs })
  }

  /**
   * Runs an attempt that may be wrong. It counts as a failure before anybody knows: of many guesses at once, all but the
   * first few are told to wait.
   */
  async function throttled(
    keys: { name: string; address: string },
    attempt: () => Promise<boolean>,
  ): Promise<{ isRight: boolean; waitMs: number }> {
    const [byName, byAddress] = [`name ${keys.name.toLowerCase()}`, `address ${networkOf(keys.address)}`]
    const waitMs = Math.max(throttle.waitMs(byName, clock()), throttle.waitMs(byAddress, clock()))
    if (waitMs > 0) return { isRight: false, waitMs }
    for (const key of [byName, byAddress]) throttle.failed(key, clock())
    const isRight = await attempt()
    if (isRight) {
      throttle.succeeded(byName)
      throttle.forgive(byAddress)
    }
    return { isRight, waitMs: 0 }
  }

  return {
    async acceptInvitation(secret, password) {
      // First the cheap question: whoever makes links up must not have a hash computed for each.
      if ((await invitationOf(db, hashOfSecret(secret), clock())) === undefined) return undefined
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
      let user: User | undefined
      let why = 'unknown_name'
      const { isRight, waitMs } = await throttled({ name, address }, async () => {
        user = await userByName(db, name)
        const fits = await isPassword(password, user && (await passwordOf(db, user.id)))
        if (user) why = fits ? 'disabled' : 'wrong_password'
        return fits && user?.disabledAt === undefined
      })
      if (waitMs > 0) return { loggedIn: false, because: 'throttled', waitMs }
      const known = user
      if (isRight && known) {
        return { loggedIn: true, ...(await transaction((trx) => start(trx, known, 'password'))) }
      }
      await failures.note('login.failed', known?.name ?? 'unknown', why, address)
      return { loggedIn: false, because: 'wrong' }
    },

    async introduce({ issuer, subject, name, roles }, address) {
      const verdict = await transaction(async (trx): Promise<IntroductionVerdict> => {
        const known = await userByOidc(trx, issuer, subject)
        if (known?.disabledAt !== undefined) return { loggedIn: false, because: 'disabled' }
        if (known && known.roles.join() !== roles.join()) {
          await updateUser(trx, known.id, { roles })
          const detail = { from: known.roles, to: roles, issuer }
          await audit.append(trx, { who: known.name, action: 'user.roles', subject: known.name, detail })
        }
        if (roles.length === 0) {
          // Whom the provider gives nothing any more keeps no browser open either; their tokens have no role left.
          if (known) await deleteSessionsOf(trx, known.id)
          return { loggedIn: false, because: 'no-role' }
        }
        if (known) return { loggedIn: true, ...(await start(trx, known, 'oidc')) }
        if (await userByName(trx, name)) return { loggedIn: false, because: 'name-taken' }
        const user = await addUser(trx, { name, roles, oidc: { issuer, subject } }, clock())
        const detail = { roles, issuer }
        await audit.append(trx, { who: name, action: 'user.create', subject: name, detail })
        return { loggedIn: true, ...(await start(trx, user, 'oidc')) }
      })
      if (!verdict.loggedIn) await failures.note('login.failed', 'unknown', verdict.because, address)
      return verdict
    },

    async settle(name, password, who) {
      if (!isUserName(name) || (await userByName(db, name))) return undefined
      const stored = await hashPassword(password)
      return transaction(async (trx) => {
        if (await userByName(trx, name)) return undefined
        const roles = ['admin'] as const
        const user = await addUser(trx, { name, roles }, clock(), stored)
        await audit.append(trx, { who, action: 'user.create', subject: name, detail: { roles } })
        return start(trx, user, 'link')
      })
    },

    async changePassword(id, old, next, { session, address }) {
      const user = await userById(db, id)
      if (!user) return { changed: false, because: 'wrong', waitMs: 0 }
      const { isRight, waitMs } = await throttled({ name: user.name, address }, async () =>
        isPassword(old, await passwordOf(db, id)),
      )
      if (waitMs > 0) return { changed: false, because: 'throttled', waitMs }
      if (!isRight) {
        await failures.note('user.password.failed', user.name, 'wrong_password', address)
        return { changed: false, because: 'wrong', waitMs: 0 }
      }
      const stored = await hashPassword(next)
      await transaction(async (trx) => {
        await updateUser(trx, id, { password: stored })
        await deleteSessionsOf(trx, id, hashOfSecret(session))
        await audit.append(trx, { who: user.name, action: 'user.password', subject: user.name })
      })
      return { changed: true }
    },

    refused: (because, address) => failures.note('access.refused', 'unknown', because, address),
  }
}
