import type { Stream } from '@godwit/protocol/topics'
import type { Db } from '../store/database.ts'
import { countIn, type Range, rangesOf, without } from './ranges.ts'
import {
  type LossReason,
  losses,
  type StreamKey,
  type StreamState,
  seqsIn,
  streamsOf,
} from './telemetry-store.ts'

/** `awaited`: a later record is here and this one is not, so the device still has it, or it is under way. */
export type MissingRange = { first: number; last: number; reason: 'awaited' | 'never_arrived' }
export type DroppedRange = { first: number; last: number; reason: 'spool_full' }

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
  const { session, contiguous, highest, stored, duplicates, forgotten, firstAt, lastAt } = stream
  const lost = await losses(db, stream)
  const rangesBy = (reason: LossReason) =>
    lost.filter((loss) => loss.reason === reason).map(({ range }) => range)
  const tail: Range = [contiguous + 1, highest]
  const here = contiguous < highest ? rangesOf(await seqsIn(db, stream, tail, highest - contiguous)) : []
  const awaited = without([tail], [...here, ...lost.map(({ range }) => range)])
  const missing = [
    ...rangesBy('never_arrived').map((range) => named(range, 'never_arrived')),
    ...awaited.map((range) => named(range, 'awaited')),
  ]
  return {
    session,
    stream: stream.stream,
    contiguous,
    highest,
    stored,
    duplicates,
    rejected: await rejectedCount(db, stream),
    dropped: rangesBy('spool_full').map((range) => named(range, 'spool_full')),
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

async function rejectedCount(db: Db, { deviceId, session, stream }: StreamKey): Promise<number> {
  const row = await db
    .selectFrom('rejected_record')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('device_id', '=', deviceId)
    .where('session', '=', session)
    .where('stream', '=', stream)
    .executeTakeFirst()
  return Number(row?.count ?? 0)
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

/** The whole fleet's. Only streams with a hole are looked at one by one, and those are few. */
export async function fleetSummary(
  db: Db,
): Promise<CompletenessSummary & { windows: number; events: number }> {
  const totals = await db
    .selectFrom('stream_state')
    .select(({ fn }) => [
      fn.sum<number | null>('stored').as('stored'),
      fn.sum<number | null>('duplicates').as('duplicates'),
      fn.sum<number | null>('dropped').as('dropped'),
      fn.sum<number | null>('forgotten').as('forgotten'),
    ])
    .executeTakeFirstOrThrow()
  const perStream = await db
    .selectFrom('stream_state')
    .select(({ fn }) => ['stream', fn.sum<number | null>('stored').as('stored')])
    .groupBy('stream')
    .execute()
  const storedOf = (stream: Stream) => Number(perStream.find((row) => row.stream === stream)?.stored ?? 0)
  const gone = await db
    .selectFrom('dropped_range')
    .select(({ fn }) => [
      fn.sum<number | null>('last').as('last'),
      fn.sum<number | null>('first').as('first'),
    ])
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('reason', '=', 'never_arrived')
    .executeTakeFirstOrThrow()
  const open = await db
    .selectFrom('stream_state')
    .select(['device_id', 'session', 'stream'])
    .whereRef('contiguous', '<', 'highest')
    .execute()
  let awaited = 0
  for (const deviceId of new Set(open.map((row) => row.device_id)))
    for (const { missing } of await completenessOf(db, deviceId))
      for (const { first, last, reason } of missing) if (reason === 'awaited') awaited += last - first + 1
  const rejected = await db
    .selectFrom('rejected_record')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return {
    windows: storedOf('window'),
    events: storedOf('event'),
    stored: Number(totals.stored ?? 0),
    duplicates: Number(totals.duplicates ?? 0),
    dropped: Number(totals.dropped ?? 0),
    forgotten: Number(totals.forgotten ?? 0),
    missing: Number(gone.last ?? 0) - Number(gone.first ?? 0) + Number(gone.count) + awaited,
    rejected: Number(rejected.count),
  }
}
