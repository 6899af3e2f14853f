import { eventually } from './checks.ts'
import type { Observer } from './observe.ts'
import type { MoteDevice, Stage } from './stage.ts'

/** What it takes to compare a device's own account with the hub's. */
export type Bookkeeping = { stage: Pick<Stage, 'deviceStatus'>; observe: Observer; signal?: AbortSignal }

type AgentStatus = {
  slots: Record<string, { source: { pass: number; index: number } | null }>
  spool: { records: number; streams: Record<string, { next: number }> }
}

/** Where in the recording the last stored window of a device ended, by the device's own account. */
export async function positionOf(
  books: Bookkeeping,
  device: MoteDevice,
): Promise<{ pass: number; index: number }> {
  return positionIn(await statusOf(books, device))
}

export async function spoolOf(books: Bookkeeping, device: MoteDevice): Promise<AgentStatus['spool']> {
  return (await statusOf(books, device)).spool
}

/** Does the hub hold every window that the device had finished when it was asked? */
export async function isDelivered(books: Bookkeeping, device: MoteDevice): Promise<boolean> {
  return holds(books, device, lastWindowIn(await statusOf(books, device)))
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
      const before = await statusOf(books, device)
      if (!(await holds(books, device, lastWindowIn(before)))) return undefined
      const windows = await books.observe.windows(device.id)
      // The hub was asked between two windows: only then do both accounts speak of the same moment.
      if (lastWindowIn(await statusOf(books, device)) !== lastWindowIn(before)) return undefined
      const { pass, index } = positionIn(before)
      return {
        counted: windows.reduce((sum, window) => sum + window.readings, 0),
        read: pass * length + index,
      }
    },
    { ...(books.signal && { signal: books.signal }), everyMs: 50 },
  )
}

function statusOf({ stage }: Bookkeeping, device: MoteDevice): Promise<AgentStatus> {
  return stage.deviceStatus<AgentStatus>(device)
}

function positionIn({ slots }: AgentStatus): { pass: number; index: number } {
  return slots['default']?.source ?? { pass: 0, index: 0 }
}

/** Windows are numbered from 1. */
function lastWindowIn({ spool }: AgentStatus): number {
  return (spool.streams['window']?.next ?? 1) - 1
}

async function holds({ observe }: Bookkeeping, device: MoteDevice, window: number): Promise<boolean> {
  const held = (await observe.streams(device.id)).find((stream) => stream.stream === 'window')
  return held !== undefined && held.contiguous >= window
}
