import { keyFingerprint } from '@godwit/protocol/messages/enrolment'
import { networkOf } from '../access/network.ts'
import type { Clock } from '../clock.ts'
import type { Database, Db } from '../store/database.ts'
import { deviceById, deviceByKey } from '../store/device-store.ts'
import {
  allPending,
  allRegisteredKeys,
  deletePending,
  deletePendingBefore,
  deleteRegisteredKey,
  insertRegisteredKey,
  pendingByKey,
  registeredKeyOf,
  registeredNamed,
  savePending,
} from '../store/waiting-room-store.ts'
import type { Audit } from '../trust/audit.ts'

/** A key that may come in without a secret, as the device that it is registered for: proof of the key is enough. */
export type RegisteredKey = {
  publicKey: string
  deviceId: string
  labels: Record<string, string>
  registeredAt: number
  registeredBy: string
}

/** A device that asked without a token and is not known: a person compares fingerprints and decides. */
export type PendingDevice = {
  publicKey: string
  /** The name that it asks for. */
  wantedId?: string
  address: string
  firstAt: number
  lastAt: number
  /** Somebody turned it away; kept, so that it does not stand on the list again in half a minute. */
  rejectedAt?: number
}

export type Registration = { publicKey: string; deviceId: string; labels: Record<string, string> }
export type RegistrationFlaw = { deviceId: string; because: 'id-taken' | 'key-taken'; detail: string }

/** Anybody can make keys and knock; a person looks at this list, so it stays short. */
export const pendingMax = 256
/** A network is what one customer has: an address, or a /64 of IPv6. */
export const pendingPerNetworkMax = 32
/** A device asks again every minute or so; one that has not for so long has gone elsewhere. As long is a rejection kept. */
const pendingMs = 3 * 24 * 60 * 60_000

export type WaitingRoom = {
  /** All or none of them, so that a factory's list is never half in. */
  register(keys: readonly Registration[], who: string): Promise<RegistrationFlaw[]>
  registered(): Promise<RegisteredKey[]>
  unregister(publicKey: string, who: string): Promise<boolean>
  pending(): Promise<PendingDevice[]>
  /** By the fingerprint that was compared, one that was rejected too. The device comes in when it asks next. */
  approve(
    fingerprint: string,
    as: { deviceId?: string; labels: Record<string, string> },
    who: string,
  ): Promise<{ approved: Registration } | { flaw: RegistrationFlaw } | undefined>
  reject(fingerprint: string, who: string): Promise<boolean>
  /** In the transaction of the enrolment. */
  wait(
    trx: Db,
    device: { publicKey: string; wantedId?: string; address: string },
  ): Promise<'waits' | 'full' | 'rejected'>
}

export function createWaitingRoom({ db, transaction }: Database, clock: Clock, audit: Audit): WaitingRoom {
  async function flawOf(
    trx: Db,
    { publicKey, deviceId }: Registration,
  ): Promise<RegistrationFlaw | undefined> {
    const named = (await deviceById(trx, deviceId)) ?? (await registeredNamed(trx, deviceId))
    if (named && named.publicKey !== publicKey)
      return { deviceId, because: 'id-taken', detail: `${deviceId} belongs to another key` }
    const keyed = (await deviceByKey(trx, publicKey))?.id ?? (await registeredKeyOf(trx, publicKey))?.deviceId
    if (keyed === undefined || keyed === deviceId) return undefined
    return {
      deviceId,
      because: 'key-taken',
      detail: `the key ${keyFingerprint(publicKey)} is that of ${keyed}`,
    }
  }

  async function admit(trx: Db, registration: Registration, who: string, action: string): Promise<void> {
    const { publicKey, deviceId, labels } = registration
    await deletePending(trx, publicKey)
    // A list that was cut off is sent again from its beginning.
    if (await registeredKeyOf(trx, publicKey)) return
    await insertRegisteredKey(trx, { ...registration, registeredAt: clock(), registeredBy: who })
    await audit.append(trx, { who, action, subject: deviceId, detail: { publicKey, labels } })
  }

  async function byFingerprint(trx: Db, fingerprint: string): Promise<PendingDevice | undefined> {
    const wanted = fingerprint.replaceAll(' ', '')
    return (await allPending(trx)).find(
      ({ publicKey }) => keyFingerprint(publicKey).replaceAll(' ', '') === wanted,
    )
  }

  return {
    registered: () => allRegisteredKeys(db),
    pending: async () => (await allPending(db)).filter(({ lastAt }) => lastAt >= clock() - pendingMs),

    register: (keys, who) =>
      transaction(async (trx) => {
        const flaws: RegistrationFlaw[] = []
        const seen = new Set<string>()
        for (const key of keys) {
          const flaw = await flawOf(trx, key)
          const twice = seen.has(key.deviceId) || seen.has(key.publicKey)
          if (flaw) flaws.push(flaw)
          else if (twice)
            flaws.push({ deviceId: key.deviceId, because: 'id-taken', detail: 'it stands here twice' })
          seen.add(key.deviceId).add(key.publicKey)
        }
        if (flaws.length === 0) for (const key of keys) await admit(trx, key, who, 'device.register')
        return flaws
      }),

    unregister: (publicKey, who) =>
      transaction(async (trx) => {
        const held = await registeredKeyOf(trx, publicKey)
        if (!held || !(await deleteRegisteredKey(trx, publicKey))) return false
        await audit.append(trx, {
          who,
          action: 'device.unregister',
          subject: held.deviceId,
          detail: { publicKey },
        })
        return true
      }),

    approve: (fingerprint, { deviceId, labels }, who) =>
      transaction(async (trx) => {
        const device = await byFingerprint(trx, fingerprint)
        if (!device) return undefined
        const { publicKey, wantedId } = device
        const id = deviceId ?? wantedId ?? `device-${publicKey.slice(0, 12)}`
        const registration = { publicKey, deviceId: id, labels }
        const flaw = await flawOf(trx, registration)
        if (flaw) return { flaw }
        await admit(trx, registration, who, 'device.approve')
        return { approved: registration }
      }),

    reject: (fingerprint, who) =>
      transaction(async (trx) => {
        const device = await byFingerprint(trx, fingerprint)
        if (!device) return false
        if (device.rejectedAt !== undefined) return true
        await savePending(trx, { ...device, rejectedAt: clock() })
        const detail = { address: device.address, ...(device.wantedId && { wantedId: device.wantedId }) }
        await audit.append(trx, { who, action: 'device.reject', subject: fingerprint, detail })
        return true
      }),

    async wait(trx, { publicKey, wantedId, address }) {
      const now = clock()
      await deletePendingBefore(trx, now - pendingMs)
      const known = await pendingByKey(trx, publicKey)
      if (known?.rejectedAt !== undefined) return 'rejected'
      if (!known) {
        const waiting = (await allPending(trx)).filter(({ rejectedAt }) => rejectedAt === undefined)
        const nextDoor = waiting.filter((other) => networkOf(other.address) === networkOf(address)).length
        if (waiting.length >= pendingMax || nextDoor >= pendingPerNetworkMax) return 'full'
      }
      const wanted = wantedId === undefined ? {} : { wantedId }
      await savePending(trx, { publicKey, ...wanted, address, firstAt: known?.firstAt ?? now, lastAt: now })
      return 'waits'
    },
  }
}
