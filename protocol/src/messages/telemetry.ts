import { decode, encode } from 'cborg'
import Type, { type Static } from 'typebox'
import { DriftWindow } from '../drift/counts.ts'
import { batchBytesMax, recordsPerBatchMax } from '../limits.ts'
import {
  Count,
  defineDocument,
  EpochMs,
  mapOf,
  type Read,
  Rfc3339,
  recordOf,
  Segment,
  Sha256Hex,
  VersionName,
} from '../schema.ts'
import { type Stream, streams } from '../topics.ts'

/** More than any device uses in a window, and little enough to be summed for ever: from there a figure is a lie or a fault. */
const Joules = Type.Number({ minimum: 0, maximum: 1e12 })

/** Energy of one window above and including idle, with its provenance (SPEC 7.3). Joules; never negative. */
export const EnergyFigure = Type.Object({
  joules: Joules,
  idleShareJoules: Joules,
  unattributedJoules: Joules,
  label: Type.Union([Type.Literal('measured'), Type.Literal('modelled'), Type.Literal('assumed')]),
  source: Type.String({ maxLength: 64 }),
  scope: Type.String({ maxLength: 32 }),
  /** Measured seconds over seconds of the window, 0 to 1. */
  coverage: Type.Number({ minimum: 0, maximum: 1 }),
  /** One sigma as a factor: 2 means that half to double is as likely as not to hold the truth. */
  sigmaFactor: Type.Number({ minimum: 1 }),
  /** CPU time of the runner in the window. */
  cpuMs: Type.Number({ minimum: 0 }),
})
export type EnergyFigure = Static<typeof EnergyFigure>

/** Upper bounds of the latency buckets, microseconds; a last bucket holds the rest. A factor of about 1.6 apart. */
export const latencyBucketMicros = [
  10, 16, 25, 40, 63, 100, 160, 250, 400, 630, 1_000, 1_600, 2_500, 4_000, 6_300, 10_000, 16_000, 25_000,
  40_000, 63_000, 100_000, 160_000, 250_000, 400_000, 630_000, 1_000_000,
] as const

/** A stretch of one slot's work under one release (SPEC 7.2). */
export const WindowRecord = Type.Object({
  slot: Segment,
  model: Segment,
  version: VersionName,
  releaseDigest: Sha256Hex,
  start: EpochMs,
  end: EpochMs,
  /** Readings taken from the source, and what became of them: readings = inferences + errors + warmUp. */
  readings: Count,
  inferences: Count,
  errors: Count,
  warmUp: Count,
  /** Inputs that came faster than they could be taken and never became readings; absent: none. */
  dropped: Type.Optional(Count),
  /** How many of the readings were requests to the local inference API; absent: none. */
  requests: Type.Optional(Count),
  anomalies: Count,
  latency: Type.Object({
    counts: Type.Array(Count, {
      minItems: latencyBucketMicros.length + 1,
      maxItems: latencyBucketMicros.length + 1,
    }),
    sumMicros: Type.Number({ minimum: 0 }),
  }),
  /** Completed drift windows, in order; `index` counts since activation of the release. */
  drift: Type.Array(DriftWindow, { maxItems: 1024 }),
  energy: Type.Optional(EnergyFigure),
})
export type WindowRecord = Static<typeof WindowRecord>

/** Something that happened (SPEC 7.4). `key` makes a repeated reading of the same source count once. */
export const EventRecord = Type.Object({
  kind: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
  key: Type.String({ maxLength: 200 }),
  at: EpochMs,
  slot: Type.Optional(Segment),
  releaseDigest: Type.Optional(Sha256Hex),
  severity: Type.Union([Type.Literal('info'), Type.Literal('warning'), Type.Literal('alarm')]),
  detail: mapOf(Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()])),
})
export type EventRecord = Static<typeof EventRecord>

export const HealthRecord = Type.Object({
  at: EpochMs,
  uptimeMs: Count,
  controlRssBytes: Count,
  runnerRssBytes: Count,
  diskFreeBytes: Count,
  memoryFreeBytes: Count,
  spoolRecords: Count,
  spoolBytes: Count,
  spoolDropped: Count,
  runnerRestarts: Count,
  temperatureCelsius: Type.Optional(Type.Number()),
})
export type HealthRecord = Static<typeof HealthRecord>

const bodies = {
  window: defineDocument('window', WindowRecord),
  event: defineDocument('event', EventRecord),
  health: defineDocument('health record', HealthRecord),
}
export type BodyOf = { window: WindowRecord; event: EventRecord; health: HealthRecord }

/** Checked record by record, so that one bad record does not lose the batch it came in. */
export function checkBody<S extends Stream>(stream: S, body: unknown): Read<BodyOf[S]> {
  return bodies[stream].check(body) as Read<BodyOf[S]>
}

const Seq = Type.Integer({ minimum: 1 })

/**
 * Which limit made a device drop records (SPEC 7.5): the bytes of its spool, their age, or the size of a batch, which a
 * single record was larger than.
 */
export const dropReasons = ['spool_full', 'too_old', 'too_large'] as const
export type DropReason = (typeof dropReasons)[number]
const Dropped = Type.Union([
  Type.Tuple([Seq, Seq]),
  Type.Tuple([Seq, Seq, Type.Unsafe<DropReason>(Type.String({ enum: [...dropReasons] }))]),
])
/** Both ends included. Without a reason: `spool_full`. */
export type Dropped = Static<typeof Dropped>

/** Records of one stream of one session (SPEC 7.1). */
export const Batch = Type.Object({
  v: Type.Literal(1),
  fleet: Segment,
  deviceId: Segment,
  /** Names the spool, not the connection: new only when the spool was lost. */
  session: Type.String({ minLength: 8, maxLength: 64 }),
  stream: Type.Unsafe<Stream>(Type.String({ enum: [...streams] })),
  /** The lowest sequence the device still holds: everything below was acked or is listed in a `dropped`. */
  base: Seq,
  /** What the device dropped and why, oldest first. */
  dropped: Type.Array(Dropped, { maxItems: 256 }),
  records: Type.Array(Type.Object({ seq: Seq, body: Type.Unknown() }), { maxItems: recordsPerBatchMax }),
})
export type Batch = Static<typeof Batch>
const batch = defineDocument('batch', Batch)

const SignedBytes = Type.Object({
  payload: Type.Unsafe<Uint8Array>({}),
  keyid: Sha256Hex,
  sig: Type.Unsafe<Uint8Array>({}),
})

export type SealedBatch = { payload: Uint8Array; keyid: string; sig: Uint8Array }

/** The signature covers these bytes; the prefix keeps it from being any other document's. */
export function batchSigningBytes(payload: Uint8Array): Uint8Array {
  const prefix = new TextEncoder().encode('godwit-batch/1\n')
  const bytes = new Uint8Array(prefix.length + payload.length)
  bytes.set(prefix)
  bytes.set(payload, prefix.length)
  return bytes
}

export function encodeBatch(value: Batch): Uint8Array {
  return encode(value)
}

export function encodeSealedBatch(sealed: SealedBatch): Uint8Array {
  return encode(sealed)
}

const sealedBatch = defineDocument('sealed batch', SignedBytes)

export function decodeSealedBatch(bytes: Uint8Array): Read<SealedBatch> {
  if (bytes.length > batchBytesMax) {
    return { ok: false, detail: `sealed batch: ${bytes.length} bytes, at most ${batchBytesMax}` }
  }
  const read = decodeCbor(bytes, 'sealed batch')
  if (!read.ok) return read
  const checked = sealedBatch.check(read.value)
  if (!checked.ok) return checked
  const { payload, sig } = checked.value
  if (!(payload instanceof Uint8Array) || !(sig instanceof Uint8Array)) {
    return { ok: false, detail: 'sealed batch: payload and sig must be byte strings' }
  }
  return checked
}

export function decodeBatch(bytes: Uint8Array): Read<Batch> {
  const read = decodeCbor(bytes, 'batch')
  return read.ok ? batch.check(read.value) : read
}

function decodeCbor(bytes: Uint8Array, name: string): Read<unknown> {
  try {
    // As in JSON, an integer that counts no longer by ones is none. A BigInt in an open record could not be stored.
    const options = { rejectDuplicateMapKeys: true, allowIndefinite: false, allowBigInt: false }
    return { ok: true, value: decode(bytes, options) }
  } catch (cause) {
    return { ok: false, detail: `${name}: not CBOR: ${(cause as Error).message}` }
  }
}

/** The hub's answer after its commit (SPEC 7.6): everything up to here is stored or known to be dropped. */
export const Ack = Type.Object({
  session: Type.String({ maxLength: 64 }),
  acks: recordOf(Type.String({ pattern: `^(${streams.join('|')})$` }), Count),
  /** The hub's clock as it answered: never retained, so a device can take its own clock's error from it. */
  time: Type.Optional(Rfc3339),
})
export type Ack = Static<typeof Ack>
export const ack = defineDocument('ack', Ack)
