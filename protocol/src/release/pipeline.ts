import Type, { type Static } from 'typebox'
import { defineDocument } from '../schema.ts'
import { BundlePath } from './release.ts'

const Name = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_]{0,63}$' })
const TensorName = Type.String({ minLength: 1, maxLength: 256 })
const Transform = Type.Union([Type.Literal('none'), Type.Literal('log'), Type.Literal('log1p')])

/**
 * One monitored number per inference: an output, a field of the reading, the step of a field from the reading before, or
 * an element of what the features graph answers.
 */
export const Monitor = Type.Object({
  name: Name,
  of: Type.Union([
    Type.Object({ output: Type.String({ maxLength: 256 }) }),
    Type.Object({ field: Name }),
    Type.Object({ incrementOf: Name }),
    Type.Object({
      feature: TensorName,
      /** Row-major, from 0, which is also what an absent one means. */
      index: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
  ]),
  transform: Type.Optional(Transform),
})
export type Monitor = Static<typeof Monitor>

/** Grid points that one input may settle: what a device does at once for a single reading. */
export const pointsPerInputMax = 1_000

export const hows = ['last', 'mean', 'linear'] as const
export const gapPolicies = ['restart', 'missing'] as const

/** Readings at whatever times become readings at the multiples of an interval since 1970 (SPEC 4.6.1). */
export const Resample = Type.Object({
  intervalMs: Type.Integer({ minimum: 1, maximum: 86_400_000 }),
  how: Type.Unsafe<(typeof hows)[number]>(Type.String({ enum: [...hows] })),
  /** Longest stretch without a number that is bridged; beyond it lies a gap. Absent: two intervals; at most 1,000. */
  gapMsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 604_800_000 })),
  /** After a gap: begin with an empty window, which is also what an absent one means, or count what is missing as errors. */
  gap: Type.Optional(Type.Unsafe<(typeof gapPolicies)[number]>(Type.String({ enum: [...gapPolicies] }))),
})
export type Resample = Static<typeof Resample>

/** A graph that makes the model's input of a window of readings: training and serving run the same one (SPEC 4.6.3). */
export const Features = Type.Object({
  /** The ONNX file in the bundle. */
  file: BundlePath,
  /** Takes float32 `[1, window, fields]`. */
  input: TensorName,
  /** What the model is fed. */
  output: TensorName,
  /** Golden vectors of this graph; those of the release are the model's and never pass it. */
  golden: BundlePath,
})
export type Features = Static<typeof Features>

/**
 * From readings to the model's input, and from its output to a decision (SPEC 4.6). Feature arithmetic belongs into an
 * ONNX graph, so that training and serving run the same one; what remains here is which readings, when, and how many.
 */
export const Pipeline = Type.Object({
  format: Type.Literal('godwit-pipeline/1'),
  /** Fields of a reading, in the order of the tensor's last axis. */
  fields: Type.Array(Name, { minItems: 1, maxItems: 256 }),
  resample: Type.Optional(Resample),
  /** The tensor of readings has shape [1, window, fields]: the last `window` readings, oldest first. */
  window: Type.Integer({ minimum: 1, maximum: 65_536 }),
  /** Readings from one inference to the next; absent: 1. */
  stride: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
  features: Type.Optional(Features),
  /** Name of the model's input, and the outputs to fetch. */
  input: TensorName,
  outputs: Type.Array(TensorName, { minItems: 1 }),
  /** An inference above this is reported as an event. */
  decision: Type.Optional(Type.Object({ output: Type.String({ maxLength: 256 }), above: Type.Number() })),
  monitor: Type.Array(Monitor, { maxItems: 64 }),
})
export type Pipeline = Static<typeof Pipeline>
export const pipeline = defineDocument('pipeline', Pipeline)

export function transformed(value: number, transform: Monitor['transform']): number {
  if (transform === 'log') return Math.log(value)
  if (transform === 'log1p') return Math.log1p(value)
  return value
}

/** Outputs of the features graph that are needed: what the model is fed, and what is monitored. */
export function featuresFetched({ features, monitor }: Pipeline): string[] {
  if (!features) return []
  const monitored = monitor.flatMap(({ of }) => ('feature' in of ? [of.feature] : []))
  return [...new Set([features.output, ...monitored])]
}
