import type { DropReason } from '@godwit/protocol/messages/telemetry'
import type { Stream } from '@godwit/protocol/topics'
import type { Db } from '../store/database.ts'
import { countIn, type Range, rangesOf, without } from './ranges.ts'
import { isDrop, losses, type StreamKey, type StreamState, seqsIn, streamsOf } from './telemetry-store.ts'

/** `awaited`: a later record is here and this one is not, so the device still has it, or it is under way. */
export type MissingRange = { first: number; last: number; reason: 'awaited' | 'never_arrived' }
export type DroppedRange = { first: number; last: number; reason: DropReason }

export type Completeness = {
  session: string
  stream: Stream
  contiguous: number
  highest: number
  stored: number
  duplicates: number
  rejected: number
  dropped: DroppedRange[]
  missing: MissingRange[]
  /** Let go by the device before this hub first heard of the session. */
  forgotten: number
  firstAt: number
  lastAt: number
}

/** Every session and stream of a device, newest session first: what is here, and which numbers are not and why. */
export async function completenessOf(db: Db, deviceId: string): Promise<Completeness[]> {
  const result: Completeness[] = []
  for (const stream of await streamsOf(db, deviceId)) result.push(await completeness(db, stream))
  return result
}

async function completeness(db: Db, stream: StreamKey & StreamState): Promise<Completeness> {
  const { session, contiguous, highest, stored, duplicates, rejected, forgotten, firstAt, lastAt } = stream
  const lost = await losses(db, stream)
  const tail: Range = [contiguous + 1, highest]
  const here = contiguous < highest ? rangesOf(await seqsIn(db, stream, tail, highest - contiguous)) : []
  const awaited = without([tail], [...here, ...lost.map(({ range }) => range)])
  const missing = [
    ...lost.flatMap(({ range, reason }) => (reason === 'never_arrived' ? named(range, reason) : [])),
    ...awaited.map((range) => named(range, 'awaited')),
  ]
  return {
    session,
    stream: stream.stream,
    contiguous,
    highest,
    stored,
    duplicates,
    rejected,
    dropped: lost.filter(isDrop).map(({ range, reason }) => named(range, reason)),
    missing: missing.sort((a, b) => a.first - b.first),
    forgotten,
    firstAt,
    lastAt,
  }
}

function named<R extends string>(
  [first, last]: Range,
  reason: R,
): { first: number; last: number; reason: R } {
  return { first, last, reason }
}

export type CompletenessSummary = {
  stored: number
  duplicates: number
  dropped: number
  missing: number
  forgotten: number
  rejected: number
}

export function summaryOf(all: readonly Completeness[]): CompletenessSummary {
  const sum = (value: (entry: Completeness) => number) =>
    all.reduce((total, entry) => total + value(entry), 0)
  const count = (ranges: readonly { first: number; last: number }[]) =>
    countIn(ranges.map(({ first, last }) => [first, last] as const))
  return {
    stored: sum(({ stored }) => stored),
    duplicates: sum(({ duplicates }) => duplicates),
    dropped: sum(({ dropped }) => count(dropped)),
    missing: sum(({ missing }) => count(missing)),
    forgotten: sum(({ forgotten }) => forgotten),
    rejected: sum(({ rejected }) => rejected),
  }
}

/** The whole fleet's, from what ingest has counted of each stream. */
export async function fleetSummary(
  db: Db,
): Promise<CompletenessSummary & { windows: number; events: number }> {
  const rows = await db
    .selectFrom('stream_state')
    .select(({ fn }) => ['stream', ...tallies.map((name) => fn.sum<number>(name).as(name))] as const)
    .groupBy('stream')
    .execute()
  const sum = (name: (typeof tallies)[number]) => rows.reduce((total, row) => total + Number(row[name]), 0)
  const storedOf = (stream: Stream) => Number(rows.find((row) => row.stream === stream)?.stored ?? 0)
  const all = Object.fromEntries(tallies.map((name) => [name, sum(name)])) as CompletenessSummary
  return { windows: storedOf('window'), events: storedOf('event'), ...all }
}

const tallies = ['stored', 'duplicates', 'dropped', 'missing', 'forgotten', 'rejected'] as const
