import {
  type EnrolmentAnswer,
  type EnrolmentPending,
  type EnrolmentRequest,
  enrolmentProofBytes,
  formatJoinToken,
  keyFingerprint,
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
import { registeredKeyOf } from '../store/waiting-room-store.ts'
import type { Authority } from '../tls/authority.ts'
import type { Audit } from '../trust/audit.ts'
import type { Repository } from '../trust/repository.ts'
import type { Device } from './device.ts'
import type { Registration, WaitingRoom } from './waiting-room.ts'

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

export type JoinConfig = { hubUrl: string; rootSha256: string; caSha256?: string }

export type EnrolmentRefusal =
  | 'unknown-token'
  | 'other-name'
  | 'expired-token'
  | 'used-token'
  | 'revoked-device'
  | 'bad-proof'
  | 'id-taken'
  | 'waiting-room-full'
  | 'rejected-device'
export type EnrolmentVerdict =
  | { enrolled: true; answer: EnrolmentAnswer; created: boolean }
  | { enrolled: 'pending'; answer: EnrolmentPending }
  | { enrolled: false; because: EnrolmentRefusal; detail: string }

export type Enrolment = {
  /** The token's text is answered once and never kept. */
  createJoinToken(
    options: { labels: Record<string, string>; uses: number; expiresInMs: number; deviceId?: string },
    who: string,
  ): Promise<JoinToken & { token: string }>
  joinTokens(): Promise<JoinToken[]>
  revokeJoinToken(id: string, who: string): Promise<JoinToken | undefined>
  /** @param address where the request came from, for the person who looks at those that wait */
  enrol(request: EnrolmentRequest, address?: string): Promise<EnrolmentVerdict>
  /** What a device is told that has no join token; the same for all of them, and no secret. */
  joinConfig(): Promise<JoinConfig>
  /** Set by the parts that know their own ports, once they listen. */
  addresses: { mqttUrl: string; httpUrl: string }
}

type Around = {
  database: Database
  clock: Clock
  feed: Feed
  audit: Audit
  repository: Repository
  waitingRoom: WaitingRoom
  fleetName: string
  /** Of a hub that makes its own certificates. */
  authority?: Authority
}
type Joined = { device: Device; created: boolean }
type Waits = { waits: true }
type Refused = { because: EnrolmentRefusal; detail: string }

/** How soon a device that waits for a person asks again: while the person still looks, and 256 of them are no load. */
const askAgainMs = 10_000

export function createEnrolment(around: Around): Enrolment {
  const { database, clock, feed, audit, repository, waitingRoom, fleetName, authority } = around
  const caSha256 = authority && { caSha256: authority.sha256 }
  const { db, transaction } = database
  const addresses = { mqttUrl: '', httpUrl: '' }

  /** One transaction, so that of two devices with the last use of a token one gets in. */
  async function join(
    trx: Db,
    request: EnrolmentRequest,
    address: string,
  ): Promise<Joined | Refused | Waits> {
    const now = clock()
    const known = await deviceByKey(trx, request.publicKey)
    if (request.token === undefined) return known ? again(known, request) : joinByKey(trx, request, address)
    const token = await joinTokenByHash(trx, hashOfSecret(request.token))
    if (!token)
      return { because: 'unknown-token', detail: 'no such join token: it was mistyped or never made here' }
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
    await countJoin(trx, token.id)
    const registration = { publicKey: request.publicKey, deviceId: id, labels: token.labels }
    return enter(trx, registration, { joinToken: token.id })
  }

  /** Without a secret: the key is known already, or it waits until a person lets it in. */
  async function joinByKey(
    trx: Db,
    request: EnrolmentRequest,
    address: string,
  ): Promise<Joined | Refused | Waits> {
    const { publicKey, deviceId: wantedId } = request
    const registered = await registeredKeyOf(trx, publicKey)
    if (registered) return enter(trx, registered, { registeredBy: registered.registeredBy })
    const asking = { publicKey, address, ...(wantedId !== undefined && { wantedId }) }
    switch (await waitingRoom.wait(trx, asking)) {
      case 'waits':
        return { waits: true }
      case 'rejected':
        return {
          because: 'rejected-device',
          detail: `an operator has turned ${keyFingerprint(publicKey)} away`,
        }
      case 'full':
        return {
          because: 'waiting-room-full',
          detail: 'too many devices wait to be let in: an operator must look at them',
        }
    }
  }

  async function enter(
    trx: Db,
    registration: Registration,
    through: Record<string, unknown>,
  ): Promise<Joined> {
    const { deviceId: id, publicKey, labels } = registration
    const device = { id, publicKey, labels, enrolledAt: clock() }
    await insertDevice(trx, device)
    const detail = { ...through, publicKey }
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
          ...caSha256,
          ...(deviceId !== undefined && { deviceId }),
        }),
      }
    },

    joinTokens: () => allJoinTokens(db),

    async joinConfig() {
      const rootSha256 = sha256Hex(await repository.firstRoot())
      return { hubUrl: addresses.httpUrl, rootSha256, ...caSha256 }
    },

    revokeJoinToken: (id, who) =>
      transaction(async (trx) => {
        const token = await markJoinTokenRevoked(trx, id, clock())
        if (token) await audit.append(trx, { who, action: 'join-token.revoke', subject: id })
        return token
      }),

    async enrol(request, address = 'unknown') {
      if (!provesKey(request)) {
        const detail = 'the proof is no signature by this public key over token, key and device id (SPEC 3.2)'
        return { enrolled: false, because: 'bad-proof', detail }
      }
      const joined = await transaction((trx) => join(trx, request, address))
      if ('waits' in joined) {
        const fingerprint = keyFingerprint(request.publicKey)
        return { enrolled: 'pending', answer: { pending: true, fingerprint, retryAfterMs: askAgainMs } }
      }
      if ('because' in joined) return { enrolled: false, ...joined }
      const { id: deviceId, labels } = joined.device
      const root = Buffer.from(await repository.firstRoot()).toString('base64')
      const ca = authority && { ca: authority.certificate }
      const answer = {
        fleet: fleetName,
        deviceId,
        labels,
        ...addresses,
        root,
        ...ca,
        time: toRfc3339(clock()),
      }
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
