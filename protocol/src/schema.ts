import Type, { type Static, type TSchema, type TString } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { segmentLengthMax } from './limits.ts'

/** What reading a document from the wire came to. */
export type Read<T> = { ok: true; value: T } | { ok: false; detail: string }

/**
 * One schema gives the type, the check and the documentation of a wire document.
 * Compiled on first use: an agent that never sees a document does not pay for it.
 */
export type Document<T extends TSchema> = {
  readonly name: string
  readonly schema: T
  check(value: unknown): Read<Static<T>>
}

export function defineDocument<T extends TSchema>(name: string, schema: T): Document<T> {
  let validator: Validator | undefined
  return {
    name,
    schema,
    check(value) {
      validator ??= Compile(schema) as unknown as Validator
      if (validator.Check(value)) return { ok: true, value: value as Static<T> }
      return { ok: false, detail: `${name}: ${describe(validator.Errors(value))}` }
    },
  }
}

/** At most three mistakes, each with its place, so that one log line holds them. */
function describe(errors: { instancePath: string; message: string }[]): string {
  const shown = errors.slice(0, 3).map((e) => `${e.instancePath || '/'} ${e.message}`)
  return shown.join('; ') + (errors.length > 3 ? `; and ${errors.length - 3} more` : '')
}

/** A topic level: fleet, device, slot, model. No dots, because RabbitMQ maps `/` to `.` (SPEC 2.2). */
export const Segment = Type.String({ pattern: `^[A-Za-z0-9_-]{1,${segmentLengthMax}}$` })
/** A version's name: dots allowed, never leading, so that it is no path of its own. */
export const VersionName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' })
export const Sha256Hex = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const Rfc3339 = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?Z$' })
export const EpochMs = Type.Integer({ minimum: 0 })
export const Count = Type.Integer({ minimum: 0 })

/**
 * A map whose names must match a pattern. Closed: without that, JSON Schema leaves a name that does not match
 * unchecked, and a bundle could carry a file called `../../etc/passwd`.
 */
export function recordOf<T extends TSchema>(
  name: TString,
  value: T,
  options: { minProperties?: number; maxProperties?: number } = {},
) {
  return Type.Record(name, value, { ...options, additionalProperties: false })
}

/** A map by any names, every value checked. Look names up with `Object.hasOwn`: one may be `constructor`. */
export function mapOf<T extends TSchema>(value: T) {
  return Type.Unsafe<Record<string, Static<T>>>(Type.Object({}, { additionalProperties: value }))
}
