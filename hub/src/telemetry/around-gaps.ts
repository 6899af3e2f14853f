import type { EpochMs } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'
import type { Completeness } from './completeness.ts'
import type { StreamKey } from './telemetry-store.ts'

/** A slot that windows are missing of: the time, by the device's clock, between those that are here. */
export type SlotGap = { slot: string; from?: EpochMs; to?: EpochMs }
export type GapOf<R> = R & { slots?: SlotGap[] }

/** Looking costs two queries a slot and range; a device that lost more often than this has other worries. */
const rangesLookedAtMax = 200

/**
 * A sequence number alone does not say what was in it, but its neighbours do: windows of a slot follow each other
 * without a break, so a slot is concerned when its windows before and after a range do not meet.
 */
export async function withSlots(
  db: Db,
  deviceId: string,
  { session, stream, missing, dropped, ...rest }: Completeness,
) {
  if (stream !== 'window' || missing.length + dropped.length === 0)
    return { session, stream, missing, dropped, ...rest }
  const key = { deviceId, session, stream }
  const slots = await slotsIn(db, key)
  const look = async <R extends { first: number; last: number }>(
    ranges: readonly R[],
  ): Promise<GapOf<R>[]> => {
    const seen: GapOf<R>[] = []
    for (const range of ranges)
      seen.push(
        seen.length < rangesLookedAtMax ? { ...range, slots: await gapsAt(db, key, slots, range) } : range,
      )
    return seen
  }
  return { session, stream, missing: await look(missing), dropped: await look(dropped), ...rest }
}

async function slotsIn(db: Db, { deviceId, session }: StreamKey): Promise<string[]> {
  const rows = await db
    .selectFrom('window_record')
    .select('slot')
    .distinct()
    .where('device_id', '=', deviceId)
    .where('session', '=', session)
    .orderBy('slot')
    .execute()
  return rows.map(({ slot }) => slot)
}

async function gapsAt(
  db: Db,
  key: StreamKey,
  slots: readonly string[],
  { first, last }: { first: number; last: number },
): Promise<SlotGap[]> {
  const gaps: SlotGap[] = []
  for (const slot of slots) {
    const before = await neighbour(db, key, slot, 'before', first)
    const after = await neighbour(db, key, slot, 'after', last)
    // A runner takes a moment to give way to another; that is no window.
    const shortestMs = Math.min(before?.lengthMs ?? 0, after?.lengthMs ?? 0) / 2
    if (before && after && after.start - before.end <= shortestMs) continue
    gaps.push({ slot, ...(before && { from: before.end }), ...(after && { to: after.start }) })
  }
  return gaps
}

async function neighbour(db: Db, key: StreamKey, slot: string, side: 'before' | 'after', seq: number) {
  const row = await db
    .selectFrom('window_record')
    .select(['start_at', 'end_at'])
    .where('device_id', '=', key.deviceId)
    .where('session', '=', key.session)
    .where('slot', '=', slot)
    .where('seq', side === 'before' ? '<' : '>', seq)
    .orderBy('seq', side === 'before' ? 'desc' : 'asc')
    .limit(1)
    .executeTakeFirst()
  return row && { start: row.start_at, end: row.end_at, lengthMs: row.end_at - row.start_at }
}
