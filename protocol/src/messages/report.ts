import Type, { type Static } from 'typebox'
import { phases } from '../phase.ts'
import { resultCodeNames } from '../result-code.ts'
import {
  Count,
  defineDocument,
  EpochMs,
  mapOf,
  recordOf,
  Segment,
  Sha256Hex,
  VersionName,
} from '../schema.ts'

const Phase = Type.Unsafe<(typeof phases)[number]>(Type.String({ enum: [...phases] }))
const Code = Type.Unsafe<(typeof resultCodeNames)[number]>(Type.String({ enum: [...resultCodeNames] }))

const ReleaseRef = Type.Object({ model: Segment, version: VersionName, releaseDigest: Sha256Hex })
export type ReleaseRef = Static<typeof ReleaseRef>

/** What decided between variants; the last four name the figure that was smallest. */
export const choiceGrounds = ['only', 'order', 'latency', 'energy', 'cpu', 'memory'] as const
export type ChoiceGround = (typeof choiceGrounds)[number]

/**
 * One variant on one execution provider, as this device found it in a process of its own (SPEC 6.8). A figure that was
 * not taken is absent. All integers: the document is canonical.
 */
export const Trial = Type.Object({
  variant: Type.String({ maxLength: 64 }),
  /** The one that ran; the one asked for when nothing ran. */
  executionProvider: Type.String({ maxLength: 32 }),
  /** `ok`: it answered the golden vectors within the release's promises. */
  code: Code,
  detail: Type.Optional(Type.String({ maxLength: 256 })),
  /** Nodes of the graph by the provider that ran them; absent where there was only one it could be. */
  nodes: Type.Optional(mapOf(Count)),
  p50Micros: Type.Optional(Count),
  p95Micros: Type.Optional(Count),
  /** Resident memory of the whole runner behind the self-test. */
  memoryBytes: Type.Optional(Count),
  /** CPU time of one inference, all threads. */
  cpuMicros: Type.Optional(Count),
  /** One inference, above what the device drew at rest just before. */
  energyMicrojoules: Type.Optional(Count),
  energyLabel: Type.Optional(
    Type.Unsafe<'measured' | 'modelled'>(Type.String({ enum: ['measured', 'modelled'] })),
  ),
  energySource: Type.Optional(Type.String({ maxLength: 64 })),
})
export type Trial = Static<typeof Trial>

/** Which variant serves, why, and the figures of all that were tried. */
export const Choice = Type.Object({
  by: Type.Unsafe<ChoiceGround>(Type.String({ enum: [...choiceGrounds] })),
  why: Type.String({ maxLength: 512 }),
  at: EpochMs,
  /** Names the runtime, the hardware and the policy: when it changes, the device measures again. */
  measuredOn: Type.String({ maxLength: 64 }),
  trials: Type.Array(Trial, { maxItems: 16 }),
})
export type Choice = Static<typeof Choice>

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
  choice: Type.Optional(Choice),
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
