import type { Device } from '../api.ts'
import { Ago } from './time.tsx'

/** Of a device that is there, when it came would look like a silence. */
export function LastSeen({ device: { status, lastSeenAt } }: { device: Device }) {
  return status === 'online' ? 'now' : <Ago at={lastSeenAt} />
}
