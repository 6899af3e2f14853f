import Type, { type Static } from 'typebox'
import { phases } from '../phase.ts'
import { resultCodeNames } from '../result-code.ts'
import { Count, defineDocument, EpochMs, recordOf, Segment, Sha256Hex, VersionName } from '../schema.ts'

const Phase = Type.Unsafe<(typeof phases)[number]>(Type.String({ enum: [...phases] }))
const Code = Type.Unsafe<(typeof resultCodeNames)[number]>(Type.String({ enum: [...resultCodeNames] }))

const ReleaseRef = Type.Object({ model: Segment, version: VersionName, releaseDigest: Sha256Hex })
export type ReleaseRef = Static<typeof ReleaseRef>

export const ActiveRelease = Type.Object({
  ...ReleaseRef.properties,
  variant: Type.String({ maxLength: 64 }),
  since: EpochMs,
  /** Execution provider that really ran, never the one asked for. */
  executionProvider: Type.String({ maxLength: 32 }),
  /** SHA-256 of the model file as the runner read it just before loading. */
  loadedDigest: Sha256Hex,
  /** SHA-256 over report session, loaded digest and the answer to the first golden vector (SPEC 6.6). */
  proof: Sha256Hex,
})
export type ActiveRelease = Static<typeof ActiveRelease>

export const SlotReport = Type.Object({
  phase: Phase,
  /** The deployment in progress, or the last one that ended. */
  target: Type.Optional(ReleaseRef),
  active: Type.Optional(ActiveRelease),
  lastKnownGood: Type.Optional(ReleaseRef),
  attempt: Count,
  /** How the last deployment ended; absent while one runs. */
  code: Type.Optional(Code),
  detail: Type.Optional(Type.String({ maxLength: 1024 })),
  /** Directive version that the last ended deployment answered. */
  answered: Count,
})
export type SlotReport = Static<typeof SlotReport>

/** The device's signed answer (SPEC 6.6). Retained; the hub refuses one older than the one it holds. */
export const Report = Type.Object({
  _type: Type.Literal('report'),
  specVersion: Type.Literal(1),
  fleet: Segment,
  deviceId: Segment,
  session: Type.String({ maxLength: 64 }),
  /** Strictly increasing per session, durable. */
  reportVersion: Type.Integer({ minimum: 1 }),
  directiveVersion: Count,
  at: EpochMs,
  slots: recordOf(Segment, SlotReport),
  quarantine: Type.Array(Sha256Hex, { maxItems: 64 }),
  free: Type.Object({ diskBytes: Count, memoryBytes: Count }),
  clock: Type.Object({
    /** Device minus hub, milliseconds; absent before the hub's time was heard. May be negative. */
    skewMs: Type.Optional(Type.Integer()),
    floor: EpochMs,
  }),
})
export type Report = Static<typeof Report>
export const report = defineDocument('report', Report)

/** At most one in five seconds, lost without harm (SPEC 5.5). Not signed: it decides nothing. */
export const Progress = Type.Object({
  slot: Segment,
  phase: Phase,
  releaseDigest: Sha256Hex,
  bytesDone: Count,
  bytesTotal: Count,
})
export type Progress = Static<typeof Progress>
export const progress = defineDocument('progress', Progress)
