import type { StreamView, WindowView } from '@godwit/sample-sensor-fleet/demo/observe'

/**
 * What came of everything that a device measured. Within the limits of its spool all four are 0; beyond them `told` is
 * what it let go, each number of it on record at the hub with the reason.
 */
export type SequenceAudit = {
  /** Numbers that the hub has neither the record of nor a reason for, or readings that are in no window. */
  lost: number
  /** Readings that are in two windows, or one event under two numbers. */
  duplicated: number
  /** Windows whose numbers follow each other otherwise than their readings do. */
  reordered: number
  told: number
}

export const seamless: SequenceAudit = { lost: 0, duplicated: 0, reordered: 0, told: 0 }

/** By the device's own account, all of it under one session. */
export type Account = {
  /** The number that the next record of each stream will get. */
  next: Readonly<Record<string, number>>
  /** Readings taken from the source by the end of the last window; undefined where the source cannot be counted. */
  readings?: number
}

/** The hub's account of it. `start` in any unit that grows with time. */
export type HubAccount = {
  streams: readonly (Pick<StreamView, 'stream' | 'highest' | 'forgotten'> & {
    missing: readonly { first: number; last: number }[]
    dropped: readonly { first: number; last: number }[]
  })[]
  windows: readonly (Pick<WindowView, 'seq' | 'readings'> & { start: number })[]
  events: readonly { key: string }[]
}

export function auditOf(device: Account, hub: HubAccount): SequenceAudit {
  const windows = hub.windows.filter(({ seq }) => seq < (device.next['window'] ?? 1))
  const told = sum(hub.streams, ({ dropped, forgotten }) => sum(dropped, lengthOf) + forgotten)
  // Readings of a window that was let go are in none, and told with it.
  const unread = told > 0 || device.readings === undefined ? 0 : device.readings - sum(windows, readingsOf)
  const lostNumbers = sum(Object.entries(device.next), ([stream, next]) => {
    const held = hub.streams.find((one) => one.stream === stream)
    const missing = sum(held?.missing ?? [], ({ first, last }) =>
      lengthOf({ first, last: Math.min(last, next - 1) }),
    )
    return missing + Math.max(0, next - 1 - (held?.highest ?? 0))
  })
  const repeated = hub.events.length - new Set(hub.events.map(({ key }) => key)).size
  return {
    lost: lostNumbers + Math.max(0, unread),
    duplicated: Math.max(0, -unread) + repeated,
    reordered: inversions(windows.toSorted((a, b) => a.seq - b.seq).map(({ start }) => start)),
    told,
  }
}

/**
 * The same of windows that begin and end at a place in their source and not at a time, as those of runners that only
 * count. From the first place on, every one lies in one window.
 *
 * @param windows in the order of their numbers
 */
export function auditOfPlaces(windows: readonly { start: number; end: number }[]): SequenceAudit {
  let at = 0
  let lost = 0
  let duplicated = 0
  for (const { start, end } of windows.toSorted((a, b) => a.start - b.start)) {
    lost += Math.max(0, start - at)
    duplicated += Math.max(0, Math.min(at, end) - start)
    at = Math.max(at, end)
  }
  return { lost, duplicated, reordered: inversions(windows.map(({ start }) => start)), told: 0 }
}

function inversions(starts: readonly number[]): number {
  return starts.filter((start, i) => i > 0 && start < starts[i - 1]!).length
}

function lengthOf({ first, last }: { first: number; last: number }): number {
  return Math.max(0, last - first + 1)
}

function readingsOf({ readings }: { readings: number }): number {
  return readings
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
