import Type, { type Static } from 'typebox'
import { installWindowPattern } from '../install-window.ts'
import { Count, defineDocument, Rfc3339, recordOf, Segment, Sha256Hex, VersionName } from '../schema.ts'

/** When a candidate that was activated is kept, and when it goes (SPEC 6.5). All integers: the document is canonical. */
export const ProbationPolicy = Type.Object({
  /** Both must be reached: this long active, and this many inferences answered. */
  durationMs: Count,
  inferences: Count,
  /** Failed inferences per million that end probation with `probation_error_rate`. */
  errorsPerMillionMax: Count,
  /** Crashes of the runner that end probation with `probation_crash`. */
  crashesMax: Count,
  /** Absent: latency is not judged in probation. Microseconds, 95th percentile. */
  p95MicrosMax: Type.Optional(Count),
  /** Absent: energy is not judged. Microjoules of an inference above idle, from windows that were measured only. */
  energyMicrojoulesMax: Type.Optional(Count),
})
export type ProbationPolicy = Static<typeof ProbationPolicy>

export const defaultProbation: ProbationPolicy = {
  durationMs: 60_000,
  inferences: 20,
  errorsPerMillionMax: 50_000,
  crashesMax: 0,
}

export const SlotGoal = Type.Object({
  model: Segment,
  version: VersionName,
  /** SHA-256 of the release document; it must also be the one that the targets role lists. */
  releaseDigest: Sha256Hex,
  releaseBytes: Count,
  probation: ProbationPolicy,
  /** Try a quarantined release once more. Needs a new directive version, so it happens once. */
  force: Type.Optional(Type.Boolean()),
  /** When it may be installed, in the device's local time (SPEC 6.7); absent: whenever the device allows. */
  installWindows: Type.Optional(
    Type.Array(Type.String({ pattern: installWindowPattern, maxLength: 64 }), { maxItems: 16 }),
  ),
})
export type SlotGoal = Static<typeof SlotGoal>

/** The signed goal state of one device (SPEC 6.1). The envelope's signature is the director's. */
export const Directive = Type.Object({
  _type: Type.Literal('directive'),
  specVersion: Type.Literal(1),
  fleet: Segment,
  deviceId: Segment,
  /** Strictly increasing per device. */
  version: Type.Integer({ minimum: 1 }),
  issued: Rfc3339,
  expires: Rfc3339,
  slots: recordOf(Segment, SlotGoal, { maxProperties: 64 }),
  telemetry: Type.Object({
    /** Length of a telemetry window. Integer milliseconds. */
    windowMs: Type.Integer({ minimum: 100 }),
  }),
})
export type Directive = Static<typeof Directive>
export const directive = defineDocument('directive', Directive)
