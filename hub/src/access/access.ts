import { uuidv7 } from 'uuidv7'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import {
  adminExists,
  allTokens,
  consumeLoginLink,
  deleteExpiredAccess,
  deleteSession,
  insertLoginLink,
  insertSession,
  insertToken,
  isFirstStart,
  liveSession,
  markTokenRevoked,
  markTokenUsed,
  tokenByHash,
  tokenById,
} from '../store/access-store.ts'
import type { Database, Db } from '../store/database.ts'
import { allUsers, userById } from '../store/user-store.ts'
import type { Audit } from '../trust/audit.ts'
import { commonRoles, type Role, type Scope } from './role.ts'
import { hashOfSecret, isToken, newSecret, newToken } from './secret.ts'

/** Who asks: `who` goes into the audit. */
export type Caller = {
  who: string
  roles: readonly Role[]
  /** Narrower than the roles; absent: all that the roles allow. */
  scopes?: readonly Scope[]
  kind: 'token' | 'browser'
  /** A person; absent for a program's own token, and for a browser that a link let in. */
  user?: { id: string; name: string }
}

export type ApiToken = {
  id: string
  name: string
  roles: readonly Role[]
  scopes?: readonly Scope[]
  /** Whose it is: it does no more than that person may, and nothing once they are disabled. */
  userId?: string
  createdAt: number
  expiresAt?: number
  revokedAt?: number
  lastUsedAt?: number
}
export type TokenOptions = {
  name: string
  roles: readonly Role[]
  scopes?: readonly Scope[]
  userId?: string
  /** Absent: as long as the configuration allows at most. */
  expiresInMs?: number
}
export type StartedSession = { session: string; expiresAt: number }

/** Who may use the HTTP API. Secrets are answered once; the store holds their hashes. */
export type Access = {
  createToken(options: TokenOptions, who: string): Promise<ApiToken & { token: string }>
  /** Of everybody, or of one user. */
  tokens(userId?: string): Promise<ApiToken[]>
  token(id: string): Promise<ApiToken | undefined>
  revokeToken(id: string, who: string): Promise<ApiToken | undefined>
  byToken(token: string): Promise<Caller | undefined>
  /** The secret of a link that logs one browser in, once. */
  createLoginLink(roles: readonly Role[], who: string): Promise<{ secret: string; expiresAt: number }>
  /** The session's secret for the cookie; undefined when the link is unknown, used or expired. */
  useLoginLink(secret: string): Promise<StartedSession | undefined>
  bySession(session: string): Promise<Caller | undefined>
  endSession(session: string): Promise<void>
  /** Whether anybody can administer this hub. */
  hasAdmin(): Promise<boolean>
  /** At the first start of a hub, and while nobody can administer it, `main` prints a link for whoever started it. */
  needsSetup(): Promise<boolean>
  /** People whose approval counts at this moment. */
  approvers(): Promise<{ id: string; name: string }[]>
}

/** How stale `lastUsedAt` may be: not every request is worth a commit. */
const lastUsedMs = 60_000

type Settings = Pick<HubConfig['access'], 'sessionMs' | 'loginLinkMs' | 'tokenMsMax'>

export function createAccess(
  { db, transaction }: Database,
  clock: Clock,
  audit: Audit,
  { sessionMs, loginLinkMs, tokenMsMax }: Settings,
): Access {
  return {
    async createToken({ expiresInMs = tokenMsMax, ...options }, who) {
      const createdAt = clock()
      const expiresAt = createdAt + Math.min(expiresInMs, tokenMsMax)
      const created: ApiToken = { id: uuidv7(), ...options, createdAt, expiresAt }
      const token = newToken()
      await transaction(async (trx) => {
        await insertToken(trx, created, hashOfSecret(token))
        const { id, name, roles, scopes, userId } = created
        const detail = { name, roles, ...(scopes && { scopes }), ...(userId !== undefined && { userId }) }
        await audit.append(trx, { who, action: 'token.create', subject: id, detail })
      })
      return { ...created, token }
    },

    tokens: (userId) => allTokens(db, userId),
    token: (id) => tokenById(db, id),

    revokeToken: (id, who) =>
      transaction(async (trx) => {
        const token = await markTokenRevoked(trx, id, clock())
        if (token) await audit.append(trx, { who, action: 'token.revoke', subject: id })
        return token
      }),

    async byToken(text) {
      if (!isToken(text)) return undefined
      const token = await tokenByHash(db, hashOfSecret(text))
      const now = clock()
      if (!token || token.revokedAt !== undefined || (token.expiresAt ?? Infinity) <= now) return undefined
      const { id, name, roles, scopes, userId } = token
      const owner = userId === undefined ? undefined : await userById(db, userId)
      if (userId !== undefined && (!owner || owner.disabledAt !== undefined)) return undefined
      if (now - (token.lastUsedAt ?? 0) > lastUsedMs) await markTokenUsed(db, id, now)
      // A person recognises the name; the end of the id tells two of that name apart.
      const label = `${name} (token ${id.slice(-6)})`
      return {
        who: owner ? `${owner.name}, ${label}` : label,
        roles: owner ? commonRoles(roles, owner.roles) : roles,
        ...(scopes && { scopes }),
        kind: 'token',
        ...(owner && { user: { id: owner.id, name: owner.name } }),
      }
    },

    async createLoginLink(roles, who) {
      const secret = newSecret()
      const now = clock()
      const expiresAt = now + loginLinkMs
      await transaction(async (trx) => {
        await deleteExpiredAccess(trx, now)
        await insertLoginLink(trx, { hash: hashOfSecret(secret), roles, createdAt: now, expiresAt })
        await audit.append(trx, { who, action: 'session.link', subject: roles.join(',') })
      })
      return { secret, expiresAt }
    },

    useLoginLink: (secret) =>
      transaction(async (trx) => {
        const now = clock()
        const link = await consumeLoginLink(trx, hashOfSecret(secret), 'session', now)
        if (!link) return undefined
        const { roles } = link
        const session = newSecret()
        const who = `browser:${hashOfSecret(session).slice(0, 8)}`
        const expiresAt = now + sessionMs
        await insertSession(trx, { hash: hashOfSecret(session), who, roles, createdAt: now, expiresAt })
        await audit.append(trx, { who, action: 'session.start', subject: roles.join(',') })
        return { session, expiresAt }
      }),

    async bySession(session) {
      const found = await liveSession(db, hashOfSecret(session), clock())
      if (!found) return undefined
      const { who, roles, userId } = found
      if (userId === undefined) return { who, roles, kind: 'browser' }
      // Read at every request: a role that was taken away, or a person who was disabled, counts at once.
      const user = await userById(db, userId)
      if (!user || user.disabledAt !== undefined) return undefined
      return { who: user.name, roles: user.roles, kind: 'browser', user: { id: user.id, name: user.name } }
    },

    endSession: (session) =>
      transaction(async (trx) => {
        const hash = hashOfSecret(session)
        const found = await liveSession(trx, hash, clock())
        await deleteSession(trx, hash)
        if (found) await audit.append(trx, { who: found.who, action: 'session.end', subject: found.who })
      }),

    hasAdmin: () => adminExists(db, clock()),
    needsSetup: async () => (await isFirstStart(db, clock())) || !(await adminExists(db, clock())),

    approvers: async () =>
      (await allUsers(db))
        .filter(({ disabledAt, roles }) => disabledAt === undefined && canApprove(roles))
        .map(({ id, name }) => ({ id, name })),
  }
}

function canApprove(roles: readonly Role[]): boolean {
  return roles.includes('approver') || roles.includes('admin')
}

/** For a person who has shown who they are. */
export async function startSessionOf(
  trx: Db,
  user: { id: string; name: string },
  at: { now: number; sessionMs: number },
): Promise<StartedSession> {
  const session = newSecret()
  const expiresAt = at.now + at.sessionMs
  const times = { createdAt: at.now, expiresAt }
  await deleteExpiredAccess(trx, at.now)
  await insertSession(trx, {
    hash: hashOfSecret(session),
    who: user.name,
    roles: [],
    userId: user.id,
    ...times,
  })
  return { session, expiresAt }
}
