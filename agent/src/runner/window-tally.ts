import type { DriftWindow } from '@godwit/protocol/drift/counters'
import { edgesBelow } from '@godwit/protocol/drift/feature-bins'
import { type EventRecord, latencyBucketMicros, type WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'

/** What a window says of whom. */
export type Serves = Pick<WindowRecord, 'slot' | 'model' | 'version' | 'releaseDigest'>

/** The numbers of the window that is being filled. */
export class WindowTally {
  readings = 0
  inferences = 0
  errors = 0
  warmUp = 0
  /** Of the readings, those that came as requests. */
  requests = 0
  anomalies = 0
  drift: DriftWindow[] = []
  events: EventRecord[] = []
  readonly #latencyCounts = new Uint32Array(latencyBucketMicros.length + 1)
  #latencySumMicros = 0
  #start: EpochMs

  constructor(start: EpochMs) {
    this.#start = start
  }

  /** A request that was answered, or that the model failed at. */
  requested(): void {
    this.readings++
    this.requests++
  }

  inferred(micros: number): void {
    this.inferences++
    this.#latencyCounts[edgesBelow(latencyBucketMicros, micros)]!++
    this.#latencySumMicros += micros
  }

  /** The window, and a fresh start. A clock that was set back makes it an empty stretch, never a negative one. */
  close(serves: Serves, now: EpochMs, dropped = 0): { record: WindowRecord; events: EventRecord[] } {
    const { readings, inferences, errors, warmUp, requests, anomalies, drift, events } = this
    const start = Math.floor(this.#start)
    const end = Math.max(start, Math.floor(now))
    const latency = { counts: Array.from(this.#latencyCounts), sumMicros: Math.round(this.#latencySumMicros) }
    const record: WindowRecord = {
      ...serves,
      start,
      end,
      readings,
      inferences,
      errors,
      warmUp,
      anomalies,
      latency,
      drift,
    }
    if (requests > 0) record.requests = requests
    if (dropped > 0) {
      record.dropped = dropped
      events.push(droppedEvent(serves, dropped, start, end))
    }
    this.#clear(now)
    return { record, events }
  }

  #clear(now: EpochMs): void {
    this.readings = 0
    this.inferences = 0
    this.errors = 0
    this.warmUp = 0
    this.requests = 0
    this.anomalies = 0
    this.drift = []
    this.events = []
    this.#latencyCounts.fill(0)
    this.#latencySumMicros = 0
    this.#start = now
  }
}

/** The count in the record is for machines; this is what a person finds among the device's events. */
function droppedEvent(
  { slot, releaseDigest }: Serves,
  dropped: number,
  start: EpochMs,
  end: EpochMs,
): EventRecord {
  return {
    kind: 'inputs_dropped',
    key: `${releaseDigest.slice(0, 12)}:dropped:${start}`,
    at: end,
    slot,
    releaseDigest,
    severity: 'warning',
    detail: { dropped, reason: 'inputs came faster than they could be taken' },
  }
}
