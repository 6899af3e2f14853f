import { keyFingerprint } from '@godwit/protocol/messages/enrolment'
import { toRfc3339 } from '@godwit/protocol/units'
import type { ApiToken } from '../access/access.ts'
import type { User } from '../access/user.ts'
import { aheadOf, isSomething, type Versions } from '../fleet/ahead.ts'
import type { Device } from '../fleet/device.ts'
import type { JoinToken } from '../fleet/enrolment.ts'
import { isListed, type Model, type ModelVersion } from '../registry/model.ts'
import type { ModelSignature } from '../registry/model-signature.ts'

/** How things look in answers: times as RFC 3339, and nothing that is for the hub alone. */

export function deviceView(device: Device, held: Versions) {
  const { id, labels, status, enrolledAt, revokedAt, lastSeenAt, birth, report, directiveVersion } = device
  const ahead = aheadOf(device, held)
  return {
    id,
    labels,
    fingerprint: keyFingerprint(device.publicKey),
    status,
    enrolledAt: toRfc3339(enrolledAt),
    ...optionalTimes({ revokedAt, lastSeenAt }),
    directiveVersion,
    ...(isSomething(ahead) && { ahead }),
    ...(birth && { birth }),
    ...(report && { report }),
  }
}

export function joinTokenView(token: JoinToken) {
  const { createdAt, expiresAt, revokedAt, ...rest } = token
  const times = {
    createdAt: toRfc3339(createdAt),
    expiresAt: toRfc3339(expiresAt),
    ...optionalTimes({ revokedAt }),
  }
  return { ...rest, ...times }
}

export function userView({ createdAt, disabledAt, lastLoginAt, oidc, ...rest }: User) {
  return {
    ...rest,
    ...(oidc && { oidcIssuer: oidc.issuer }),
    createdAt: toRfc3339(createdAt),
    ...optionalTimes({ disabledAt, lastLoginAt }),
  }
}

export function tokenView(token: ApiToken) {
  const { id, name, roles, scopes, userId, createdAt, expiresAt, revokedAt, lastUsedAt } = token
  return {
    id,
    name,
    roles,
    ...(scopes && { scopes }),
    ...(userId !== undefined && { userId }),
    createdAt: toRfc3339(createdAt),
    ...optionalTimes({ expiresAt, revokedAt, lastUsedAt }),
  }
}

export function modelView({ name, description, createdAt }: Model) {
  return { name, description, createdAt: toRfc3339(createdAt) }
}

export function versionView(version: ModelVersion) {
  const { createdAt, listedAt, delistedAt, ...rest } = version
  return {
    ...rest,
    listed: isListed(version),
    createdAt: toRfc3339(createdAt),
    ...optionalTimes({ listedAt, delistedAt }),
  }
}

export function signatureView({ addedAt, ...rest }: ModelSignature) {
  return { ...rest, addedAt: toRfc3339(addedAt) }
}

function optionalTimes<K extends string>(times: Record<K, number | undefined>): Partial<Record<K, string>> {
  const known = Object.entries<number | undefined>(times).filter(([, at]) => at !== undefined)
  return Object.fromEntries(known.map(([name, at]) => [name, toRfc3339(at!)])) as Partial<Record<K, string>>
}
