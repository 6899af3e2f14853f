import { randomUUID } from 'node:crypto'
import type { BodyOf, Dropped, DropReason } from '@godwit/protocol/messages/telemetry'
import { type Stream, streams } from '@godwit/protocol/topics'
import type { EpochMs } from '@godwit/protocol/units'
import type { Database } from '../state/database.ts'
import { metaOnce, readMeta, writeMeta } from '../state/memory.ts'
import type { HeldRecord } from './batch.ts'
import {
  afterAck,
  afterDrop,
  baseOf,
  type Drops,
  dropsAfter,
  emptyStream,
  type StreamMarks,
  withDrop,
} from './stream.ts'

export type SpoolLimits = { bytesMax: number; ageMaxMs: number }

export type Entry = { [S in Stream]: { stream: S; body: BodyOf[S]; at: EpochMs } }[Stream]

export type SpoolFigures = { records: number; bytes: number; dropped: number }

/** Remembered keys: a source read again after a crash repeats at most its last minutes. */
const eventKeysMax = 10_000

const spoolTime = 'spool_time'
const dropsName = (stream: Stream) => `spool_drops/${stream}`

/** The time of the newest `append`, 0 before the first: ages go on from there after a restart. */
export function spoolTimeMs(database: Database): EpochMs {
  return Number(readMeta(database, spoolTime) ?? 0)
}

/**
 * Telemetry on the disk until the hub has it. Bounded: when full, the oldest records of the lowest class go first
 * (health, then windows, then events), and every dropped number is told to the hub with the limit that it fell to.
 */
export class Spool {
  /** Names this spool, not the connection: a lost database means new numbers under a new name. */
  readonly session: string
  readonly #database: Database
  readonly #limits: SpoolLimits
  /** What is held, so that a full month is not counted anew for every window. Undefined: to be counted. */
  #held: { records: number; bytes: number } | undefined

  constructor(database: Database, limits: SpoolLimits, makeSession: () => string = randomUUID) {
    this.#database = database
    this.#limits = limits
    this.session = metaOnce(database, 'session', makeSession)
  }

  /**
   * Stores all entries in one transaction, together with whatever `also` writes (the reader's checkpoint), so that
   * neither can be there without the other. An event whose key is known is left out.
   *
   * @param nowMs as each entry's `at` of a clock that never runs ahead (`TrustedTime.leastMs`), for the age limit
   */
  append(entries: readonly Entry[], nowMs: EpochMs, also?: () => void): void {
    this.#change('transaction', () => {
      for (const entry of entries) this.#appendOne(entry)
      this.#makeRoom(nowMs)
      writeMeta(this.#database, spoolTime, String(nowMs))
      also?.()
    })
  }

  /** A transaction that is taken back takes back what was counted in it. */
  #change(how: 'transaction' | 'lazily', work: () => void): void {
    try {
      this.#database[how](work)
    } catch (error) {
      this.#held = undefined
      throw error
    }
  }

  #appendOne({ stream, body, at }: Entry): void {
    const marks = this.marks(stream)
    if (stream === 'event') {
      const fresh = this.#database.run('INSERT OR IGNORE INTO event_key VALUES (?, ?)', body.key, marks.next)
      if (fresh === 0) return
      this.#database.run('DELETE FROM event_key WHERE seq <= ?', marks.next - eventKeysMax)
    }
    const text = JSON.stringify(body)
    const bytes = Buffer.byteLength(text)
    const held = this.#heldNow()
    this.#database.run('INSERT INTO spool_record VALUES (?, ?, ?, ?, ?)', stream, marks.next, at, bytes, text)
    this.#held = { records: held.records + 1, bytes: held.bytes + bytes }
    this.#write(stream, { ...marks, next: marks.next + 1 })
  }

  marks(stream: Stream): StreamMarks {
    const row = this.#database.get('SELECT * FROM spool_stream WHERE stream = ?', stream) as
      | Record<string, number>
      | undefined
    if (row === undefined) return emptyStream
    return {
      next: row['next_seq']!,
      acked: row['acked']!,
      droppedThrough: row['dropped_through']!,
      droppedCount: row['dropped_count']!,
    }
  }

  /** The oldest records, at most `count`. */
  oldest(stream: Stream, count: number): HeldRecord[] {
    const rows = this.#database.all(
      'SELECT seq, bytes, body FROM spool_record WHERE stream = ? ORDER BY seq LIMIT ?',
      stream,
      count,
    )
    return rows.map((row) => ({
      seq: row['seq'] as number,
      bytes: row['bytes'] as number,
      body: JSON.parse(row['body'] as string) as unknown,
    }))
  }

  /** What a batch says about the records that are not in it. */
  headOf(stream: Stream): { session: string; stream: Stream; base: number; dropped: Dropped[] } {
    const marks = this.marks(stream)
    const dropped = marks.droppedThrough > marks.acked ? [...this.#drops(stream, marks)] : []
    return { session: this.session, stream, base: baseOf(marks), dropped }
  }

  #drops(stream: Stream, marks: StreamMarks): Drops {
    return dropsAfter(JSON.parse(readMeta(this.#database, dropsName(stream)) ?? '[]') as Drops, marks)
  }

  /** The hub has committed everything up to `through`. Where a power cut takes that back, it goes again and is known there. */
  acknowledge(stream: Stream, through: number): void {
    if (through <= this.marks(stream).acked) return
    this.#change('lazily', () => {
      const marks = afterAck(this.marks(stream), through)
      this.#write(stream, marks)
      this.#delete(stream, marks.acked)
    })
  }

  /** For a record that cannot travel at all; those before it in the stream must have gone already. */
  dropThrough(stream: Stream, through: number, reason: DropReason): void {
    this.#change('transaction', () => {
      const marks = this.marks(stream)
      const after = afterDrop(marks, through)
      const drops = withDrop(this.#drops(stream, marks), marks, after.droppedThrough, reason)
      writeMeta(this.#database, dropsName(stream), JSON.stringify(drops))
      this.#write(stream, after)
      this.#delete(stream, through)
    })
  }

  /** Looks at what goes and not at what stays. */
  #delete(stream: Stream, through: number): void {
    const held = this.#heldNow()
    const gone = this.#database.get(
      'SELECT count(*) AS records, total(bytes) AS bytes FROM spool_record WHERE stream = ? AND seq <= ?',
      stream,
      through,
    )!
    this.#database.run('DELETE FROM spool_record WHERE stream = ? AND seq <= ?', stream, through)
    this.#held = {
      records: held.records - Number(gone['records']),
      bytes: held.bytes - Number(gone['bytes']),
    }
  }

  #heldNow(): { records: number; bytes: number } {
    if (this.#held === undefined) {
      const row = this.#database.get('SELECT count(*) AS records, total(bytes) AS bytes FROM spool_record')!
      this.#held = { records: Number(row['records']), bytes: Number(row['bytes']) }
    }
    return this.#held
  }

  get figures(): SpoolFigures {
    const dropped = streams.reduce((sum, stream) => sum + this.marks(stream).droppedCount, 0)
    return { ...this.#heldNow(), dropped }
  }

  #makeRoom(nowMs: EpochMs): void {
    const youngestStale = nowMs - this.#limits.ageMaxMs
    for (const stream of streams) {
      // Nearly always the oldest is young enough, and the others need no look.
      const [oldest] = this.#sizes(stream, 0, 1)
      if (!oldest || oldest.at >= youngestStale) continue
      const stale = this.#database.get(
        'SELECT max(seq) AS seq FROM spool_record WHERE stream = ? AND at < ?',
        stream,
        youngestStale,
      )?.['seq']
      if (typeof stale === 'number') this.dropThrough(stream, stale, 'too_old')
    }
    // Lowest class first: the order of `streams` is the order of priority.
    for (const stream of [...streams].reverse()) {
      const over = this.#heldNow().bytes - this.#limits.bytesMax
      if (over <= 0) return
      const last = this.#lastOfBytes(stream, over)
      if (last > 0) this.dropThrough(stream, last, 'spool_full')
    }
  }

  /** The record with which the oldest come to so many bytes; the last one if all of them do not; 0 if there is none. */
  #lastOfBytes(stream: Stream, bytes: number): number {
    let last = 0
    for (let sum = 0; ; ) {
      const page = this.#sizes(stream, last, 256)
      if (page.length === 0) return last
      for (const record of page) {
        last = record.seq
        sum += record.bytes
        if (sum >= bytes) return last
      }
    }
  }

  /** Without the bodies, which are most of the file. */
  #sizes(stream: Stream, after: number, count: number): { seq: number; bytes: number; at: number }[] {
    return this.#database.all(
      'SELECT seq, bytes, at FROM spool_record WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?',
      stream,
      after,
      count,
    ) as { seq: number; bytes: number; at: number }[]
  }

  #write(stream: Stream, marks: StreamMarks): void {
    this.#database.run(
      'INSERT OR REPLACE INTO spool_stream VALUES (?, ?, ?, ?, ?)',
      stream,
      marks.next,
      marks.acked,
      marks.droppedThrough,
      marks.droppedCount,
    )
  }
}
