import { recordsPerBatchMax } from '@godwit/protocol/limits'
import type { Ack } from '@godwit/protocol/messages/telemetry'
import { type Stream, streams } from '@godwit/protocol/topics'
import type { DurationMs } from '@godwit/protocol/units'
import type { DeviceKey } from '../identity.ts'
import { sealEmpty, sealLargest } from './batch.ts'
import type { Spool } from './spool.ts'

/** What is on its way, per stream. */
type Flight = { last: number; sentAtMs: number; tries: number }

/** With the numbers of its first and last record. */
export type OutgoingBatch = { stream: Stream; first: number; last: number; bytes: Uint8Array }

const ackWaitMsMin = 10_000
const ackWaitMsMax = 120_000

/**
 * One batch in flight per stream: the hub's ack is the only window control there is, and a second batch could arrive
 * before the first. Sans I/O: `due` says what to publish now. Times are monotonic milliseconds.
 */
export class Sender {
  readonly #spool: Spool
  readonly #device: Pick<DeviceKey, 'seed' | 'keyid'>
  readonly #names: { fleet: string; deviceId: string }
  readonly #flights = new Map<Stream, Flight>()
  readonly #heldUntilMs = new Map<Stream, number>()

  constructor(
    spool: Spool,
    device: Pick<DeviceKey, 'seed' | 'keyid'>,
    names: { fleet: string; deviceId: string },
  ) {
    this.#spool = spool
    this.#device = device
    this.#names = names
  }

  due(nowMs: number): OutgoingBatch[] {
    return streams.flatMap((stream) => this.#dueOf(stream, nowMs) ?? [])
  }

  #dueOf(stream: Stream, nowMs: number): OutgoingBatch | undefined {
    if (nowMs < (this.#heldUntilMs.get(stream) ?? Number.NEGATIVE_INFINITY)) return undefined
    const flight = this.#flights.get(stream)
    if (flight && nowMs < flight.sentAtMs + ackWaitMs(flight.tries)) return undefined
    const batch = this.#make(stream)
    if (!batch) {
      this.#flights.delete(stream)
      return undefined
    }
    this.#flights.set(stream, { last: batch.last, sentAtMs: nowMs, tries: (flight?.tries ?? 0) + 1 })
    return batch
  }

  #make(stream: Stream): OutgoingBatch | undefined {
    for (;;) {
      const head = { ...this.#names, ...this.#spool.headOf(stream) }
      const records = this.#spool.oldest(stream, recordsPerBatchMax)
      const [first] = records
      if (!first) {
        const news = head.dropped.length > 0
        return news
          ? { stream, first: head.base, last: head.base - 1, bytes: sealEmpty(head, this.#device) }
          : undefined
      }
      const sealed = sealLargest(head, records, this.#device)
      if (sealed) return { stream, first: first.seq, ...sealed }
      // Larger than the wire allows: it would stop the stream for ever. Its number is told as dropped.
      this.#spool.dropThrough(stream, first.seq, 'too_large')
    }
  }

  /** Only an ack of this very spool counts; those of an earlier life name another session. */
  acknowledged(ack: Ack): void {
    if (ack.session !== this.#spool.session) return
    for (const stream of streams) {
      const through = ack.acks[stream]
      if (through === undefined) continue
      this.#spool.acknowledge(stream, through)
      if (through >= (this.#flights.get(stream)?.last ?? Number.POSITIVE_INFINITY))
        this.#flights.delete(stream)
    }
  }

  /** The connection or the hub is new: whatever was on its way may be lost. */
  forgetFlights(): void {
    this.#flights.clear()
  }

  /** The broker will not take this stream's batch; leave it alone for a while. */
  hold(stream: Stream, untilMs: number): void {
    this.#flights.delete(stream)
    this.#heldUntilMs.set(stream, untilMs)
  }
}

function ackWaitMs(tries: number): DurationMs {
  return Math.min(ackWaitMsMax, ackWaitMsMin * 2 ** (tries - 1))
}
