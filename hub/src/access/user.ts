import type { Role } from './role.ts'

/** A person who uses this hub. The name is what they type and what the audit calls them; it never changes. */
export type User = {
  id: string
  name: string
  roles: readonly Role[]
  hasPassword: boolean
  /** Absent: known here alone, not through an OpenID provider. */
  oidc?: { issuer: string; subject: string }
  createdAt: number
  disabledAt?: number
  lastLoginAt?: number
}

/** Names of people are shown and typed, and stand in the audit: no spaces, nothing that looks like something else. */
export const userNamePattern = '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$'

/** What the audit calls those who are no person: nobody may sign their deeds with it. */
const namesOfNobody = new Set(['hub', 'anonymous', 'unknown'])

export function isUserName(name: unknown): name is string {
  if (typeof name !== 'string' || !new RegExp(userNamePattern).test(name)) return false
  return !namesOfNobody.has(name.toLowerCase())
}
