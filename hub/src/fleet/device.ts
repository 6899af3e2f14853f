import type { Birth } from '@godwit/protocol/messages/presence'
import type { Report } from '@godwit/protocol/messages/report'

export type DeviceStatus = 'online' | 'sleeping' | 'offline'

/** A device as the hub knows it. Times are epoch milliseconds by the hub's clock. */
export type Device = {
  id: string
  /** 64 hex digits. */
  publicKey: string
  labels: Record<string, string>
  enrolledAt: number
  revokedAt?: number
  status: DeviceStatus
  bootId?: string
  /** The connection that the status speaks of; see presence.ts. */
  connection: number
  lastSeenAt?: number
  birth?: Birth
  /** The signed part of the last report; the envelope stays in the store. */
  report?: Report
  directiveVersion: number
}
