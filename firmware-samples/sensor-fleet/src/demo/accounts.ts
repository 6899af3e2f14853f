import { eventually } from './checks.ts'
import type { Observer } from './observe.ts'
import type { MoteDevice, Stage } from './stage.ts'

/** What it takes to compare a device's own account with the hub's. */
export type Bookkeeping = { stage: Stage; observe: Observer; signal?: AbortSignal }

type AgentStatus = {
  slots: Record<string, { source: { pass: number; index: number } | null }>
  spool: { records: number; streams: Record<string, { next: number }> }
}

/** Where in the recording the last stored window of a device ended, by the device's own account. */
export async function positionOf(
  { stage }: Bookkeeping,
  device: MoteDevice,
): Promise<{ pass: number; index: number }> {
  const status = await stage.deviceStatus<AgentStatus>(device)
  return status.slots['default']?.source ?? { pass: 0, index: 0 }
}

export async function spoolOf({ stage }: Bookkeeping, device: MoteDevice): Promise<AgentStatus['spool']> {
  return (await stage.deviceStatus<AgentStatus>(device)).spool
}

/** Does the hub hold every window that the device had finished when it was asked? */
export async function isDelivered(books: Bookkeeping, device: MoteDevice): Promise<boolean> {
  const { streams } = await spoolOf(books, device)
  const held = (await books.observe.streams(device.id)).find((stream) => stream.stream === 'window')
  return held !== undefined && held.contiguous >= (streams['window']?.next ?? 1) - 1
}

/**
 * Readings in the windows that the hub holds, and readings that the device has taken from its source by then.
 *
 * @param length readings in the device's recording
 */
export async function readingsOf(
  books: Bookkeeping,
  device: MoteDevice,
  length: number,
): Promise<{ counted: number; read: number }> {
  return eventually(
    `the accounts of ${device.id}`,
    async () => {
      const before = await positionOf(books, device)
      const windows = await books.observe.windows(device.id)
      const after = await positionOf(books, device)
      const counted = windows.reduce((sum, window) => sum + window.readings, 0)
      // The hub was asked between two windows: only then do both accounts speak of the same moment.
      if (before.pass !== after.pass || before.index !== after.index) return undefined
      return { counted, read: after.pass * length + after.index }
    },
    { ...(books.signal && { signal: books.signal }), everyMs: 50 },
  )
}
