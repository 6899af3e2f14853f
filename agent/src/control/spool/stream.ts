import type { Dropped, DropReason } from '@godwit/protocol/messages/telemetry'

/**
 * The book-keeping of one stream, without the records. Sequence numbers run 1, 2, 3 …; records leave only at the low
 * end, acked or dropped, so two marks say everything:
 *
 *     1 … acked | acked+1 … droppedThrough (dropped, not yet known to the hub) | held … next-1
 */
export type StreamMarks = {
  /** The next number to give out. */
  next: number
  /** The hub has told us that everything up to here is stored or known to be dropped. */
  acked: number
  /** Everything up to here is gone from the spool. Never below `acked`. */
  droppedThrough: number
  /** Records dropped without an ack, ever; for the health record. */
  droppedCount: number
}

export const emptyStream: StreamMarks = { next: 1, acked: 0, droppedThrough: 0, droppedCount: 0 }

/** First number that may still be held. Everything below it was acked or is in `dropped`. */
export function baseOf(marks: StreamMarks): number {
  return marks.droppedThrough + 1
}

/** What was dropped and why, oldest first: together all of `acked+1 … droppedThrough`. */
export type Drops = readonly Dropped[]

/** A spool alternates between its limits only when somebody changes them; what is beyond joins the last. */
const dropsMax = 64

/** @param through last number that goes now; the first is the one after those that went before */
export function withDrop(drops: Drops, marks: StreamMarks, through: number, reason: DropReason): Drops {
  const first = marks.droppedThrough + 1
  if (through < first) return drops
  const last = drops.at(-1)
  if (last && last[1] === first - 1 && (last[2] === reason || drops.length >= dropsMax))
    return [...drops.slice(0, -1), [last[0], through, last[2] ?? reason]]
  return [...drops, [first, through, reason]]
}

/** What the hub has not been told yet, or has not acked. What an agent dropped that kept no reasons is in it too. */
export function dropsAfter(drops: Drops, { acked, droppedThrough }: StreamMarks): Drops {
  const told = drops
    .filter(([, last]) => last > acked)
    .map(([first, last, reason]): Dropped => [Math.max(first, acked + 1), last, reason ?? 'spool_full'])
  const untold = (told[0]?.[0] ?? droppedThrough + 1) - 1
  return untold > acked ? [[acked + 1, untold, 'spool_full'], ...told] : told
}

/**
 * An ack for numbers never given out is not ours (a hub restored from another life): taking it would throw away what
 * comes next. One below the mark is old news.
 */
export function afterAck(marks: StreamMarks, through: number): StreamMarks {
  if (through <= marks.acked || through >= marks.next) return marks
  return { ...marks, acked: through, droppedThrough: Math.max(marks.droppedThrough, through) }
}

/** @param through last number to drop; the caller deletes the records in the same transaction */
export function afterDrop(marks: StreamMarks, through: number): StreamMarks {
  const end = Math.min(through, marks.next - 1)
  if (end <= marks.droppedThrough) return marks
  return { ...marks, droppedThrough: end, droppedCount: marks.droppedCount + end - marks.droppedThrough }
}
