import {
  type Ack,
  type Batch,
  checkBody,
  type DropReason,
  dropReasons,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'
import { countIn, normalised, type Range, rangesOf, reach, within, without } from './ranges.ts'
import {
  insertRecords,
  insertRejected,
  isDrop,
  type Loss,
  type LossReason,
  losses,
  type StreamKey,
  type StreamState,
  saveLosses,
  saveStreamState,
  seqsIn,
  streamState,
} from './telemetry-store.ts'
import { addToSums } from './window-sums.ts'

/** What a batch came to. */
export type Ingested = {
  ack: Ack
  fresh: { seq: number; body: unknown }[]
  rejected: { seq: number; detail: string }[]
  /** Sequence numbers that are settled now and were not before, both ends included; undefined when none. */
  settled: Range | undefined
}

/**
 * Stores a batch, each record at most once per device, session, stream and sequence, whatever order batches come in and
 * however often. Runs in the caller's transaction; the ack must not leave before that has committed.
 */
export async function ingest(trx: Db, batch: Batch, at: EpochMs): Promise<Ingested> {
  const { deviceId, session, stream } = batch
  const key = { deviceId, session, stream }
  const before = await streamState(trx, key)
  const known = before ? await losses(trx, key) : []
  const { fresh, rejected, duplicates } = await sort(trx, key, batch, before?.keptFrom ?? 1)
  await insertRecords(trx, key, fresh, at)
  if (stream === 'window')
    await addToSums(
      trx,
      deviceId,
      fresh.map(({ body }) => body as WindowRecord),
      at,
    )
  await insertRejected(trx, key, rejected, at)

  const arrived = rangesOf([...fresh, ...rejected].map(({ seq }) => seq))
  const lost = await account(trx, key, batch, before, known, arrived)
  if (!sameLosses(known, lost)) await saveLosses(trx, key, lost)
  const contiguous = await settledUpTo(trx, key, before?.contiguous ?? 0, lost)
  const highestOf = (ranges: readonly Range[]) =>
    ranges.reduce((highest, [, last]) => Math.max(highest, last), 0)
  const tallies = {
    highest: Math.max(before?.highest ?? 0, contiguous, highestOf(arrived), highestOf(rangesOfLosses(lost))),
    stored: (before?.stored ?? 0) + fresh.length,
    duplicates: (before?.duplicates ?? 0) + duplicates,
    dropped: countIn(rangesOfLosses(lost.filter(isDrop))),
    rejected: (before?.rejected ?? 0) + rejected.length,
    forgotten: countIn(rangesOfLosses(lost.filter(({ reason }) => reason === 'forgotten'))),
  }
  const { highest, stored, dropped, forgotten } = tallies
  const state: StreamState = {
    contiguous,
    ...tallies,
    // Every number up to the highest is one of these: what is left over is missing.
    missing: highest - stored - tallies.rejected - dropped - forgotten,
    keptFrom: before?.keptFrom ?? 1,
    firstAt: before?.firstAt ?? at,
    lastAt: at,
  }
  await saveStreamState(trx, key, state)
  const settledFrom = (before?.contiguous ?? 0) + 1
  return {
    ack: { session, acks: { [stream]: contiguous } },
    fresh,
    rejected,
    settled: contiguous >= settledFrom ? [settledFrom, contiguous] : undefined,
  }
}

/** A record that fails its schema is kept as refused and counts as dealt with: sending it again would not mend it. */
async function sort(trx: Db, key: StreamKey, { records }: Batch, keptFrom: number) {
  const bySeq = new Map<number, unknown>()
  for (const { seq, body } of records) if (!bySeq.has(seq)) bySeq.set(seq, body)
  const seqs = [...bySeq.keys()]
  const bounds: Range = [Math.min(...seqs), Math.max(...seqs)]
  const limit = bounds[1] - bounds[0] + 1
  const held = new Set(seqs.length === 0 ? [] : await seqsAmong(trx, key, bounds, limit, seqs))
  const fresh: { seq: number; body: unknown }[] = []
  const rejected: { seq: number; detail: string }[] = []
  for (const [seq, body] of bySeq) {
    if (held.has(seq) || seq < keptFrom) continue
    const checked = checkBody(key.stream, body)
    if (checked.ok) fresh.push({ seq, body: checked.value })
    else rejected.push({ seq, detail: checked.detail })
  }
  return { fresh, rejected, duplicates: records.length - fresh.length - rejected.length }
}

/** The batch's numbers usually lie close together; where a hostile one spreads them, each is asked for alone. */
async function seqsAmong(trx: Db, key: StreamKey, bounds: Range, limit: number, seqs: readonly number[]) {
  if (limit <= 4 * seqs.length + 64) return seqsIn(trx, key, bounds, limit)
  const found: number[] = []
  for (const seq of seqs) found.push(...(await seqsIn(trx, key, [seq, seq], 1)))
  return found
}

/**
 * What will not come any more, and why. Whatever the device no longer holds (everything below `base`) and this hub has
 * not stored is gone: dropped if the device says so, forgotten if it happened before we first met, else unexplained.
 */
async function account(
  trx: Db,
  key: StreamKey,
  batch: Batch,
  before: StreamState | undefined,
  known: readonly Loss[],
  arrived: readonly Range[],
): Promise<Loss[]> {
  const rangesBy = (reason: LossReason) => rangesOfLosses(known.filter((loss) => loss.reason === reason))
  const toldBefore = known.filter(isDrop)
  const told = newlyTold(batch.dropped, rangesOfLosses(toldBefore))
  const here = [...(await storedWithin(trx, key, rangesOfLosses(told))), ...arrived]
  // A record can be under way while the device drops it: what arrived is not lost.
  const dropped = dropReasons.flatMap((reason) =>
    without(rangesOfLosses([...toldBefore, ...told].filter((loss) => loss.reason === reason)), here).map(
      (range): Loss => ({ range, reason }),
    ),
  )
  const accounted = [...rangesOfLosses(known), ...rangesOfLosses(dropped), ...arrived]
  const gap = without([[(before?.contiguous ?? 0) + 1, batch.base - 1]], accounted)
  const gone = without(gap, await storedWithin(trx, key, gap))
  const reason = before ? 'never_arrived' : 'forgotten'
  const result = dropped
  for (const other of ['forgotten', 'never_arrived'] as const) {
    const all = [...rangesBy(other), ...(other === reason ? gone : [])]
    for (const range of without(all, [...arrived, ...rangesOfLosses(dropped)]))
      result.push({ range, reason: other })
  }
  return result.sort((a, b) => a.range[0] - b.range[0])
}

/** What a device says first of a number stands: it says it again until it is acked, perhaps with more joined to it. */
function newlyTold(dropped: Batch['dropped'], before: readonly Range[]): Loss<DropReason>[] {
  const settled = [...before]
  return dropped.flatMap(([first, last, reason = 'spool_full']) => {
    const fresh = without([[first, last]], settled)
    settled.push(...fresh)
    return fresh.map((range) => ({ range, reason }))
  })
}

function rangesOfLosses(losses: readonly Loss[]): Range[] {
  return losses.map(({ range }) => range)
}

/** How many rows one look may read; a range that holds more is read in several. */
const page = 1_000

async function storedWithin(trx: Db, key: StreamKey, ranges: readonly Range[]): Promise<Range[]> {
  const found: Range[] = []
  for (const [first, last] of ranges) {
    let from = first
    while (from <= last) {
      const seqs = await seqsIn(trx, key, [from, last], page)
      found.push(...rangesOf(seqs))
      if (seqs.length < page) break
      from = seqs[seqs.length - 1]! + 1
    }
  }
  return normalised(found)
}

/** Walks from what was settled before to the first number that is neither stored, refused nor known to be lost. */
async function settledUpTo(trx: Db, key: StreamKey, from: number, lost: readonly Loss[]): Promise<number> {
  const gone = rangesOfLosses(lost)
  let settled = reach(from, within(gone, [from + 1, Number.MAX_SAFE_INTEGER]))
  for (;;) {
    const seqs = await seqsIn(trx, key, [settled + 1, settled + page], page)
    const next = reach(settled, [...rangesOf(seqs), ...within(gone, [settled + 1, Number.MAX_SAFE_INTEGER])])
    if (next === settled) return settled
    settled = next
  }
}

function sameLosses(a: readonly Loss[], b: readonly Loss[]): boolean {
  return a.length === b.length && JSON.stringify(a) === JSON.stringify(b)
}
