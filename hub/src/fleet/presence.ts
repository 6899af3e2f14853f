import type { PresenceState } from '@godwit/protocol/messages/presence'
import type { DeviceStatus } from './device.ts'

export type Presence = { status: DeviceStatus; bootId?: string; connection: number }

/**
 * What a device's presence becomes by a state or a last will (SPEC 5.2). Undefined: nothing changes.
 *
 * A will is sent by the broker when it notices that a connection is dead, which may be minutes after the device has
 * come back on a new one. It carries the number of the connection it was made for, so the old one is recognised. Within
 * one connection an `offline` is final for the same reason: nothing true comes after it.
 */
export function presenceAfter(held: Presence, said: PresenceState): Presence | undefined {
  if (said.connection < held.connection) return undefined
  const { status, bootId, connection } = said
  const isNewer = connection > held.connection
  if (!isNewer && held.status === 'offline' && held.bootId !== undefined) return undefined
  if (!isNewer && status === held.status) return undefined
  return { status, bootId, connection }
}
