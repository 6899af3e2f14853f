import { reportBytesMax } from '@godwit/protocol/limits'
import type { Birth, PresenceState } from '@godwit/protocol/messages/presence'
import { type Report, report } from '@godwit/protocol/messages/report'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { checkDeviceToken } from '@godwit/protocol/trust/device-token'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { openEnvelope, verifyThreshold } from '@godwit/protocol/trust/envelope'
import { ed25519Key, ed25519Only, keyIdOf } from '@godwit/protocol/trust/key'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { EpochMs } from '@godwit/protocol/units'
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import type { Feed } from '../feed.ts'
import { Listeners } from '../listeners.ts'
import type { Database, Db } from '../store/database.ts'
import { deleteSlots, saveSlots } from '../store/device-slot-store.ts'
import {
  deviceById,
  devicesAfter,
  devicesNamed,
  labelsAfter,
  markDeviceRevoked,
  saveBirth,
  saveLabels,
  savePresence,
  saveReport,
} from '../store/device-store.ts'
import { goalsOfDevice } from '../store/directive-store.ts'
import { groupMs, SharedTransactions } from '../store/group-commit.ts'
import { newestVersions } from '../store/metadata-store.ts'
import type { Audit } from '../trust/audit.ts'
import { type Ahead, AheadDevices, aheadOf } from './ahead.ts'
import type { Device } from './device.ts'
import { endedSince } from './ended-deployments.ts'
import { presenceAfter } from './presence.ts'
import { isNewerReport } from './report-order.ts'
import { Twins } from './twins.ts'

export type DeviceNews = 'birth' | 'report' | 'status' | 'revoked'

/** The devices, and what they said of themselves. */
export type Fleet = {
  device(id: string): Promise<Device | undefined>
  devices(options?: { after?: string; limit?: number }): Promise<Device[]>
  /** Those that `fits` says yes to, by id and labels alone; in the order of ids. */
  devicesThat(
    fits: (device: Pick<Device, 'id' | 'labels'>) => boolean,
    options: { after: string; limit: number },
  ): Promise<Device[]>
  /** Does this token prove that its bearer is that device, enrolled and not revoked? */
  authenticate(deviceId: string, token: string, audience: 'mqtt' | 'http'): Promise<Verdict<Device>>
  /**
   * Presence as the device, its will, or (`offline`) the hub itself at its start says it.
   *
   * @param seenAt when the device was last there, else now: a will is at most one and a half keep-alives late
   */
  acceptState(deviceId: string, state: PresenceState, seenAt?: EpochMs): Promise<{ changed: boolean }>
  acceptBirth(deviceId: string, birth: Birth): Promise<{ accepted: boolean }>
  /** The signed report as it came; a refusal says why it was not kept. An older or repeated one is `rollback`. */
  acceptReport(deviceId: string, envelope: Uint8Array): Promise<Verdict<Report>>
  setLabels(deviceId: string, labels: Record<string, string>, who: string): Promise<Device | undefined>
  revoke(deviceId: string, who: string): Promise<Device | undefined>
  /** Devices of which two seem to be there, with one identity. */
  twins(): string[]
  /** Devices that know what this hub has forgotten; see ahead.ts. */
  ahead(): Promise<string[]>
  /** Something about a device changed, and it is committed. */
  onNews(listener: (deviceId: string, news: DeviceNews) => void): () => void
  /** Comes back when all that was accepted so far is committed. */
  flush(): Promise<void>
}

type Around = {
  database: Database
  clock: Clock
  feed: Feed
  audit: Audit
  fleetName: string
  log: Logger
  listenerFailed: (error: unknown) => void
}

export function createFleet(around: Around): Fleet {
  const { database, clock, feed, audit, fleetName, log, listenerFailed } = around
  const { db, transaction } = database
  const news = new Listeners<[string, DeviceNews]>(listenerFailed)
  const twins = new Twins()
  const aheadDevices = new AheadDevices()
  // After a restart the whole fleet has something to say: an fsync for each would make it wait for minutes.
  const shared = new SharedTransactions(transaction, groupMs)

  async function tellOfTwins(trx: Db, id: string): Promise<void> {
    const at = clock()
    await audit.append(trx, { who: `device:${id}`, action: 'device.twice', subject: id })
    const data = { deviceId: id, kind: 'identity_twice', severity: 'alarm', at }
    await feed.append(trx, { topic: `device:${id}`, type: 'telemetry.event', data })
  }

  async function tellIfAhead(trx: Db, device: Device): Promise<Ahead> {
    const { id: deviceId } = device
    const ahead = aheadOf(device, await newestVersions(trx))
    if (!aheadDevices.isNews(deviceId, ahead)) return ahead
    const words = 'a device knows newer versions than this hub: see "A hub that comes back from a backup"'
    log.warn({ code: 'hub-behind', deviceId, ahead }, words)
    const data = { deviceId, kind: 'hub_behind', severity: 'alarm', at: clock(), ahead }
    await feed.append(trx, { topic: `device:${deviceId}`, type: 'telemetry.event', data })
    return ahead
  }

  /** How each deployment ended, as the device signed it. Slots that nobody assigned would only fill the record. */
  async function recordEnds(trx: Db, { id, report: before }: Device, after: Report, envelope: Uint8Array) {
    const ended = endedSince(before, after)
    if (ended.length === 0) return
    const assigned = new Set((await goalsOfDevice(trx, id)).map(({ slot }) => slot))
    for (const { slot, end, report } of ended) {
      if (!assigned.has(slot)) continue
      const { code, answered, target, active } = report
      const loaded = active && { releaseDigest: active.releaseDigest, proof: active.proof }
      const detail = { slot, code, target, active: loaded, directive: answered, report: sha256Hex(envelope) }
      await audit.append(trx, { who: `device:${id}`, action: `deployment.${end}`, subject: id, detail })
    }
  }

  return {
    device: (id) => deviceById(db, id),
    devices: ({ after = '', limit } = {}) => devicesAfter(db, after, limit),
    async devicesThat(fits, { after, limit }) {
      const ids: string[] = []
      for await (const device of labelsAfter(db, after)) {
        if (fits(device)) ids.push(device.id)
        if (ids.length === limit) break
      }
      return devicesNamed(db, ids)
    },
    onNews: (listener) => news.add(listener),
    flush: () => shared.flush(),
    twins: () => twins.current(clock()),
    ahead: async () => aheadDevices.current(await newestVersions(db)),

    async authenticate(deviceId, token, audience) {
      const device = await deviceById(db, deviceId)
      if (!device) return refuse('absent', `no device ${deviceId} is enrolled`)
      if (device.revokedAt !== undefined) return refuse('not-listed', `device ${deviceId} has been revoked`)
      const expected = { fleet: fleetName, deviceId, audience, now: clock() }
      const claim = checkDeviceToken(token, keyBytesOf(device), expected)
      return claim.trusted ? accept(device) : claim
    },

    async acceptState(deviceId, state, seenAt = clock()) {
      let isTwin: boolean | undefined
      const changed = await shared.run(async (trx) => {
        const device = await deviceById(trx, deviceId)
        if (!device || device.revokedAt !== undefined) return false
        // Before anything is ignored as old: of two that take turns, one always seems to be.
        if (state.status === 'online') isTwin ??= twins.heard(deviceId, state.bootId, clock())
        if (isTwin) await tellOfTwins(trx, deviceId)
        const presence = presenceAfter(device, state)
        if (!presence) return false
        const { status, connection } = presence
        await savePresence(trx, deviceId, { status, bootId: state.bootId, connection, lastSeenAt: seenAt })
        await feed.append(trx, stateNews(deviceId, { status }))
        return true
      })
      if (changed) news.tell(deviceId, 'status')
      return { changed }
    },

    async acceptBirth(deviceId, birth) {
      let ahead: Ahead | undefined
      const accepted = await shared.run(async (trx) => {
        const device = await deviceById(trx, deviceId)
        if (!device || device.revokedAt !== undefined) return false
        // A birth that an older connection sent late tells of a past that is over.
        if (device.birth && birth.connection < device.birth.connection) return false
        await saveBirth(trx, deviceId, birth, clock())
        ahead = await tellIfAhead(trx, { ...device, birth })
        await feed.append(trx, stateNews(deviceId, { agentVersion: birth.agentVersion }))
        return true
      })
      if (ahead) aheadDevices.heard(deviceId, ahead)
      if (accepted) news.tell(deviceId, 'birth')
      return { accepted }
    },

    async acceptReport(deviceId, envelope) {
      let ahead: Ahead | undefined
      const verdict = await shared.run(async (trx): Promise<Verdict<Report>> => {
        const device = await deviceById(trx, deviceId)
        if (!device) return refuse('absent', `no device ${deviceId} is enrolled`)
        const read = readReport(envelope, device, fleetName)
        if (!read.trusted) return read
        if (!isNewerReport(device.report, read.value, clock())) {
          const { session, reportVersion } = read.value
          return refuse(
            'rollback',
            `report ${reportVersion} of session ${session} is not newer than the one held`,
          )
        }
        await saveReport(trx, read.value, new TextDecoder().decode(envelope), clock())
        if (device.revokedAt === undefined) {
          await saveSlots(trx, read.value)
          ahead = await tellIfAhead(trx, { ...device, report: read.value })
        }
        await recordEnds(trx, device, read.value, envelope)
        await feed.append(trx, reportNews(read.value))
        return read
      })
      if (ahead) aheadDevices.heard(deviceId, ahead)
      if (verdict.trusted) news.tell(deviceId, 'report')
      return verdict
    },

    setLabels: (id, labels, who) =>
      transaction(async (trx) => {
        const device = await deviceById(trx, id)
        if (!device) return undefined
        await saveLabels(trx, id, labels)
        await audit.append(trx, { who, action: 'device.label', subject: id, detail: { labels } })
        await feed.append(trx, stateNews(id, { labels }))
        return { ...device, labels }
      }),

    async revoke(id, who) {
      const revoked = await transaction(async (trx) => {
        if (!(await deviceById(trx, id))) return undefined
        await markDeviceRevoked(trx, id, clock())
        await deleteSlots(trx, id)
        await audit.append(trx, { who, action: 'device.revoke', subject: id })
        await feed.append(trx, stateNews(id, { revoked: true }))
        return deviceById(trx, id)
      })
      aheadDevices.heard(id, {})
      if (revoked) news.tell(id, 'revoked')
      return revoked
    },
  }
}

/** Signed by this device's key, about this device, in this fleet. */
function readReport(bytes: Uint8Array, device: Device, fleetName: string): Verdict<Report> {
  if (bytes.length > reportBytesMax) {
    return refuse('length-exceeded', `report: ${bytes.length} bytes, at most ${reportBytesMax}`)
  }
  const envelope = openEnvelope(bytes, 'report')
  if (!envelope.trusted) return envelope
  const key = ed25519Key(keyBytesOf(device))
  const keyid = keyIdOf(key)
  const role = { keyids: [keyid], threshold: 1 }
  const signed = verifyThreshold(envelope.value, { [keyid]: key }, role, ed25519Only)
  if (!signed.trusted) return refuse(signed.because, `report of ${device.id}: ${signed.detail}`)
  const read = report.check(envelope.value.signed)
  if (!read.ok) return refuse('malformed', read.detail)
  const { fleet, deviceId } = read.value
  if (fleet !== fleetName) return refuse('wrong-fleet', `report: expected fleet ${fleetName}, found ${fleet}`)
  if (deviceId !== device.id)
    return refuse('wrong-device', `report: expected ${device.id}, found ${deviceId}`)
  return accept(read.value)
}

function keyBytesOf(device: Device): Uint8Array {
  // The store holds only keys that have passed enrolment.
  return fromHex(device.publicKey)!
}

function stateNews(id: string, data: Record<string, unknown>) {
  return { topic: `device:${id}`, type: 'device.state', data: { id, ...data } } as const
}

function reportNews({ deviceId, slots, directiveVersion, reportVersion }: Report) {
  const short = Object.entries(slots).map(([slot, { phase, active, target, code }]) => {
    return [slot, { phase, active: active?.version, target: target?.version, code }]
  })
  const data = { id: deviceId, reportVersion, directiveVersion, slots: Object.fromEntries(short) }
  return { topic: `device:${deviceId}`, type: 'device.report', data } as const
}
