import Type, { type Static } from 'typebox'
import { defineDocument } from '../schema.ts'

const Name = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_]{0,63}$' })
const Transform = Type.Union([Type.Literal('none'), Type.Literal('log'), Type.Literal('log1p')])

/** One monitored number per reading: an output, a field of the reading, or the step of a field from the reading before. */
export const Monitor = Type.Object({
  name: Name,
  of: Type.Union([
    Type.Object({ output: Type.String({ maxLength: 256 }) }),
    Type.Object({ field: Name }),
    Type.Object({ incrementOf: Name }),
  ]),
  transform: Type.Optional(Transform),
})
export type Monitor = Static<typeof Monitor>

/**
 * From readings to the model's input, and from its output to a decision (SPEC 4.6). Feature arithmetic belongs into
 * the ONNX graph, so that training and serving run the same one; what remains here is which readings, and how many.
 */
export const Pipeline = Type.Object({
  format: Type.Literal('godwit-pipeline/1'),
  /** Fields of a reading, in the order of the tensor's last axis. */
  fields: Type.Array(Name, { minItems: 1, maxItems: 256 }),
  /** The input tensor has shape [1, window, fields]: the last `window` readings, oldest first. */
  window: Type.Integer({ minimum: 1, maximum: 65_536 }),
  /** Name of the model's input, and the outputs to fetch. */
  input: Type.String({ minLength: 1, maxLength: 256 }),
  outputs: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1 }),
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
