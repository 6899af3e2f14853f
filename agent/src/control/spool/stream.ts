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

/** Both ends included; at most one range, because records are dropped from the low end only. */
export function droppedRanges(marks: StreamMarks): [number, number][] {
  return marks.droppedThrough > marks.acked ? [[marks.acked + 1, marks.droppedThrough]] : []
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
