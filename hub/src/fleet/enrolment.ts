import {
  type EnrolmentAnswer,
  type EnrolmentRequest,
  enrolmentProofBytes,
  formatJoinToken,
} from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { isSoundPublicKey, verify } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { toRfc3339 } from '@godwit/protocol/units'
import { uuidv7 } from 'uuidv7'
import { hashOfSecret, newSecret } from '../access/secret.ts'
import type { Clock } from '../clock.ts'
import type { Feed } from '../feed.ts'
import type { Database, Db } from '../store/database.ts'
import { deviceById, deviceByKey, insertDevice } from '../store/device-store.ts'
import {
  allJoinTokens,
  countJoin,
  insertJoinToken,
  joinTokenByHash,
  markJoinTokenRevoked,
} from '../store/join-token-store.ts'
import type { Audit } from '../trust/audit.ts'
import type { Repository } from '../trust/repository.ts'
import type { Device } from './device.ts'

export type JoinToken = {
  id: string
  labels: Record<string, string>
  /** The only name it is good for. */
  deviceId?: string
  usesMax: number
  uses: number
  createdAt: number
  expiresAt: number
  revokedAt?: number
}

export type EnrolmentRefusal =
  | 'unknown-token'
  | 'other-name'
  | 'expired-token'
  | 'used-token'
  | 'revoked-device'
  | 'bad-proof'
  | 'id-taken'
export type EnrolmentVerdict =
  | { enrolled: true; answer: EnrolmentAnswer; created: boolean }
  | { enrolled: false; because: EnrolmentRefusal; detail: string }

export type Enrolment = {
  /** The token's text is answered once and never kept. */
  createJoinToken(
    options: { labels: Record<string, string>; uses: number; expiresInMs: number; deviceId?: string },
    who: string,
  ): Promise<JoinToken & { token: string }>
  joinTokens(): Promise<JoinToken[]>
  revokeJoinToken(id: string, who: string): Promise<JoinToken | undefined>
  enrol(request: EnrolmentRequest): Promise<EnrolmentVerdict>
  /** Set by the parts that know their own ports, once they listen. */
  addresses: { mqttUrl: string; httpUrl: string }
}

type Around = {
  database: Database
  clock: Clock
  feed: Feed
  audit: Audit
  repository: Repository
  fleetName: string
}
type Joined = { device: Device; created: boolean }
type Refused = { because: EnrolmentRefusal; detail: string }

export function createEnrolment({ database, clock, feed, audit, repository, fleetName }: Around): Enrolment {
  const { db, transaction } = database
  const addresses = { mqttUrl: '', httpUrl: '' }

  /** One transaction, so that of two devices with the last use of a token one gets in. */
  async function join(trx: Db, request: EnrolmentRequest): Promise<Joined | Refused> {
    const now = clock()
    const token = await joinTokenByHash(trx, hashOfSecret(request.token))
    if (!token)
      return { because: 'unknown-token', detail: 'no such join token: it was mistyped or never made here' }
    const known = await deviceByKey(trx, request.publicKey)
    // The device may have lost the answer to a power cut: the same key is the same device, at no further use.
    if (known) return again(known, request)
    const flaw = flawOfToken(token, now)
    if (flaw) return flaw
    const id = request.deviceId ?? token.deviceId ?? `device-${request.publicKey.slice(0, 12)}`
    if (token.deviceId !== undefined && id !== token.deviceId) {
      return { because: 'other-name', detail: `this join token is for ${token.deviceId}, not for ${id}` }
    }
    if (await deviceById(trx, id)) {
      return { because: 'id-taken', detail: `a device ${id} with another key is enrolled: choose another id` }
    }
    const device = { id, publicKey: request.publicKey, labels: token.labels, enrolledAt: now }
    await insertDevice(trx, device)
    await countJoin(trx, token.id)
    const detail = { joinToken: token.id, publicKey: request.publicKey }
    await audit.append(trx, { who: `device:${id}`, action: 'device.enrol', subject: id, detail })
    await feed.append(trx, { topic: `device:${id}`, type: 'device.state', data: { id, status: 'offline' } })
    return { device: { ...device, status: 'offline', connection: 0, directiveVersion: 0 }, created: true }
  }

  return {
    addresses,

    async createJoinToken({ labels, uses, expiresInMs, deviceId }, who) {
      const createdAt = clock()
      const created: JoinToken = {
        id: uuidv7(),
        labels,
        usesMax: uses,
        uses: 0,
        createdAt,
        expiresAt: createdAt + expiresInMs,
        ...(deviceId !== undefined && { deviceId }),
      }
      const secret = newSecret()
      const rootSha256 = sha256Hex(await repository.firstRoot())
      await transaction(async (trx) => {
        await insertJoinToken(trx, created, hashOfSecret(secret))
        await audit.append(trx, {
          who,
          action: 'join-token.create',
          subject: created.id,
          detail: { labels, uses, ...(deviceId !== undefined && { deviceId }) },
        })
      })
      return {
        ...created,
        token: formatJoinToken({
          url: addresses.httpUrl,
          secret,
          rootSha256,
          ...(deviceId !== undefined && { deviceId }),
        }),
      }
    },

    joinTokens: () => allJoinTokens(db),

    revokeJoinToken: (id, who) =>
      transaction(async (trx) => {
        const token = await markJoinTokenRevoked(trx, id, clock())
        if (token) await audit.append(trx, { who, action: 'join-token.revoke', subject: id })
        return token
      }),

    async enrol(request) {
      if (!provesKey(request)) {
        const detail = 'the proof is no signature by this public key over token, key and device id (SPEC 3.2)'
        return { enrolled: false, because: 'bad-proof', detail }
      }
      const joined = await transaction((trx) => join(trx, request))
      if ('because' in joined) return { enrolled: false, ...joined }
      const { id: deviceId, labels } = joined.device
      const root = Buffer.from(await repository.firstRoot()).toString('base64')
      const answer = { fleet: fleetName, deviceId, labels, ...addresses, root, time: toRfc3339(clock()) }
      return { enrolled: true, answer, created: joined.created }
    },
  }
}

function again(known: Device, { deviceId }: EnrolmentRequest): Joined | Refused {
  if (known.revokedAt !== undefined) {
    return {
      because: 'revoked-device',
      detail: `device ${known.id} was revoked: it needs a new key to join again`,
    }
  }
  if (deviceId !== undefined && deviceId !== known.id) {
    return { because: 'id-taken', detail: `this key is enrolled as ${known.id}, not as ${deviceId}` }
  }
  return { device: known, created: false }
}

function flawOfToken(token: JoinToken, now: number): Refused | undefined {
  if (token.revokedAt !== undefined) {
    return { because: 'expired-token', detail: `the join token was revoked at ${toRfc3339(token.revokedAt)}` }
  }
  if (token.expiresAt <= now) {
    return { because: 'expired-token', detail: `the join token expired at ${toRfc3339(token.expiresAt)}` }
  }
  if (token.uses < token.usesMax) return undefined
  return {
    because: 'used-token',
    detail: `the join token was good for ${token.usesMax} devices, and all have joined`,
  }
}

/** Without it somebody could enrol a key that is not theirs, and keep its owner out. */
function provesKey(request: EnrolmentRequest): boolean {
  const publicKey = fromHex(request.publicKey)
  const proof = fromHex(request.proof)
  if (!publicKey || !proof || !isSoundPublicKey(publicKey)) return false
  return verify(publicKey, enrolmentProofBytes(request), proof)
}
