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
  liveSession,
  markTokenRevoked,
  markTokenUsed,
  tokenByHash,
} from '../store/access-store.ts'
import type { Database } from '../store/database.ts'
import type { Audit } from '../trust/audit.ts'
import { hashOfSecret, isToken, newSecret, newToken } from './secret.ts'

export const roles = ['viewer', 'operator', 'publisher', 'admin'] as const
/** Each may do what the ones before it may. */
export type Role = (typeof roles)[number]

/** Who asks: `who` goes into the audit. */
export type Caller = { who: string; role: Role; kind: 'token' | 'browser' }

export type ApiToken = {
  id: string
  name: string
  role: Role
  createdAt: number
  expiresAt?: number
  revokedAt?: number
  lastUsedAt?: number
}

/** Who may use the HTTP API. Secrets are answered once; the store holds their hashes. */
export type Access = {
  createToken(
    options: { name: string; role: Role; expiresInMs?: number },
    who: string,
  ): Promise<ApiToken & { token: string }>
  tokens(): Promise<ApiToken[]>
  revokeToken(id: string, who: string): Promise<ApiToken | undefined>
  byToken(token: string): Promise<Caller | undefined>
  /** The secret of a link that logs one browser in, once. */
  createLoginLink(role: Role, who: string): Promise<{ secret: string; expiresAt: number }>
  /** The session's secret for the cookie; undefined when the link is unknown, used or expired. */
  useLoginLink(secret: string): Promise<{ session: string; expiresAt: number } | undefined>
  bySession(session: string): Promise<Caller | undefined>
  endSession(session: string): Promise<void>
  /** False before anybody can administer this hub: then `main` prints a setup link. */
  hasAdmin(): Promise<boolean>
}

/** How stale `lastUsedAt` may be: not every request is worth a commit. */
const lastUsedMs = 60_000

export function createAccess(
  { db, transaction }: Database,
  clock: Clock,
  audit: Audit,
  { sessionMs, loginLinkMs }: HubConfig['access'],
): Access {
  return {
    async createToken({ name, role, expiresInMs }, who) {
      const now = clock()
      const expiry = expiresInMs === undefined ? {} : { expiresAt: now + expiresInMs }
      const created: ApiToken = { id: uuidv7(), name, role, createdAt: now, ...expiry }
      const token = newToken()
      await transaction(async (trx) => {
        await insertToken(trx, created, hashOfSecret(token))
        await audit.append(trx, { who, action: 'token.create', subject: created.id, detail: { name, role } })
      })
      return { ...created, token }
    },

    tokens: () => allTokens(db),

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
      if (now - (token.lastUsedAt ?? 0) > lastUsedMs) await markTokenUsed(db, token.id, now)
      // A person recognises the name; the end of the id tells two of that name apart.
      return { who: `${token.name} (token ${token.id.slice(-6)})`, role: token.role, kind: 'token' }
    },

    async createLoginLink(role, who) {
      const secret = newSecret()
      const now = clock()
      const expiresAt = now + loginLinkMs
      await transaction(async (trx) => {
        await deleteExpiredAccess(trx, now)
        await insertLoginLink(trx, { hash: hashOfSecret(secret), role, createdAt: now, expiresAt })
        await audit.append(trx, { who, action: 'session.link', subject: role })
      })
      return { secret, expiresAt }
    },

    useLoginLink: (secret) =>
      transaction(async (trx) => {
        const now = clock()
        const role = await consumeLoginLink(trx, hashOfSecret(secret), now)
        if (!role) return undefined
        const session = newSecret()
        const who = `browser:${hashOfSecret(session).slice(0, 8)}`
        const expiresAt = now + sessionMs
        await insertSession(trx, { hash: hashOfSecret(session), who, role, createdAt: now, expiresAt })
        await audit.append(trx, { who, action: 'session.start', subject: role })
        return { session, expiresAt }
      }),

    async bySession(session) {
      const found = await liveSession(db, hashOfSecret(session), clock())
      return found && { who: found.who, role: found.role, kind: 'browser' }
    },

    endSession: (session) =>
      transaction(async (trx) => {
        const hash = hashOfSecret(session)
        const found = await liveSession(trx, hash, clock())
        await deleteSession(trx, hash)
        if (found) await audit.append(trx, { who: found.who, action: 'session.end', subject: found.role })
      }),

    hasAdmin: () => adminExists(db, clock()),
  }
}

export function mayAct(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed)
}
