import { tokenSkewMsMax } from '@godwit/protocol/limits'
import { type KeyRotation, keyRotation } from '@godwit/protocol/messages/key-rotation'
import { isSoundPublicKey } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { openEnvelope, type Signed, verifyThreshold } from '@godwit/protocol/trust/envelope'
import { ed25519Key, ed25519Only, keyIdOf } from '@godwit/protocol/trust/key'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { Clock } from '../clock.ts'
import type { Feed } from '../feed.ts'
import { Listeners } from '../listeners.ts'
import type { Database, Db } from '../store/database.ts'
import { deviceById, deviceByKey, saveDeviceKey } from '../store/device-store.ts'
import type { Audit } from '../trust/audit.ts'
import type { Device } from './device.ts'

export type Rotated = {
  device: Device
  /** False: it was done before, and the device has not heard the answer. */
  changed: boolean
}

export type DeviceKeyRotation = {
  /** The signed document is all the proof that is needed. */
  rotate(deviceId: string, envelope: Uint8Array): Promise<Verdict<Rotated>>
  /** A device has another key, and it is committed: what the old one opened must be closed. */
  onRotated(listener: (deviceId: string) => void): () => void
}

type Around = {
  database: Database
  clock: Clock
  feed: Feed
  audit: Audit
  fleetName: string
  listenerFailed: (error: unknown) => void
}

export function createKeyRotation(around: Around): DeviceKeyRotation {
  const { database, clock, feed, audit, fleetName, listenerFailed } = around
  const news = new Listeners<[string]>(listenerFailed)

  async function change(trx: Db, deviceId: string, bytes: Uint8Array): Promise<Verdict<Rotated>> {
    const device = await deviceById(trx, deviceId)
    if (!device) return refuse('absent', `no device ${deviceId} is enrolled`)
    if (device.revokedAt !== undefined) return refuse('not-listed', `device ${deviceId} has been revoked`)
    const read = readRotation(bytes, device, fleetName, clock())
    if (!read.trusted) return read
    const { publicKey } = read.value
    if (publicKey === device.publicKey) return accept({ device, changed: false })
    if (await deviceByKey(trx, publicKey))
      return refuse('not-listed', 'the new key is that of another device')
    await saveDeviceKey(trx, deviceId, publicKey)
    const detail = { from: device.publicKey, to: publicKey }
    await audit.append(trx, {
      who: `device:${deviceId}`,
      action: 'device.rotate-key',
      subject: deviceId,
      detail,
    })
    const data = { id: deviceId, publicKey }
    await feed.append(trx, { topic: `device:${deviceId}`, type: 'device.state', data })
    return accept({ device: { ...device, publicKey }, changed: true })
  }

  return {
    onRotated: (listener) => news.add(listener),
    async rotate(deviceId, envelope) {
      const verdict = await database.transaction((trx) => change(trx, deviceId, envelope))
      if (verdict.trusted && verdict.value.changed) news.tell(deviceId)
      return verdict
    },
  }
}

/** Signed by the key that the device has and by the one that it shall have, about this device, and not long ago. */
function readRotation(bytes: Uint8Array, device: Device, fleet: string, now: number): Verdict<KeyRotation> {
  const envelope = openEnvelope(bytes, 'key-rotation')
  if (!envelope.trusted) return envelope
  const read = keyRotation.check(envelope.value.signed)
  if (!read.ok) return refuse('malformed', read.detail)
  const rotation = read.value
  if (rotation.fleet !== fleet)
    return refuse('wrong-fleet', `key rotation: expected fleet ${fleet}, found ${rotation.fleet}`)
  if (rotation.deviceId !== device.id)
    return refuse('wrong-device', `key rotation: expected ${device.id}, found ${rotation.deviceId}`)
  const age = now - rotation.issuedAt
  if (age > tokenSkewMsMax) return refuse('expired', `key rotation: issued ${age} ms ago`)
  if (age < -tokenSkewMsMax) return refuse('not-yet-valid', `key rotation: issued ${-age} ms from now`)
  const signed = signedByBoth(envelope.value, rotation, device)
  return signed.trusted ? accept(rotation) : signed
}

function signedByBoth(envelope: Signed<unknown>, rotation: KeyRotation, device: Device): Verdict<number> {
  const newBytes = fromHex(rotation.publicKey)
  if (!newBytes || !isSoundPublicKey(newBytes))
    return refuse('bad-signature', 'key rotation: the new public key is none')
  const next = ed25519Key(newBytes)
  // The store holds only keys that have passed here or enrolment.
  const current = ed25519Key(fromHex(device.publicKey)!)
  const keys = { [keyIdOf(current)]: current, [keyIdOf(next)]: next }
  const keyids = Object.keys(keys)
  // One key alone: the device repeats what was done already, and the old key is nobody's any more.
  if (keyids.length === 2 && rotation.previousKeyid !== keyIdOf(current))
    return refuse('bad-signature', `key rotation: ${device.id} has another key than the one it replaces`)
  return verifyThreshold(envelope, keys, { keyids, threshold: keyids.length }, ed25519Only)
}
