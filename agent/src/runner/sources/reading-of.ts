import { fromRfc3339 } from '@godwit/protocol/units'
import type { Mapping, Reading } from './source.ts'

/** What the fields of a pipeline are called where readings have them under their own names. */
export function plainMapping(fields: readonly string[]): Mapping {
  return { fields: Object.fromEntries(fields.map((field) => [field, field])), at: 'at' }
}

/** Names that a configuration leaves out are the fields' own. */
export function mappingFor(fields: readonly string[], { fields: given, at }: Mapping): Mapping {
  const place = (field: string) => (Object.hasOwn(given, field) ? given[field]! : field)
  return { fields: Object.fromEntries(fields.map((field) => [field, place(field)])), at }
}

/**
 * A reading out of JSON text. Text that is no object is a reading without values and with its flaw: counted as an
 * error, never passed over.
 */
export function readingOfText(text: string, mapping: Mapping, nowMs: number): Reading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { at: nowMs, values: {}, flaw: `no JSON: ${(error as Error).message}: ${shown(text)}` }
  }
  return readingOfValue(value, mapping, nowMs)
}

export function readingOfValue(value: unknown, { fields, at }: Mapping, nowMs: number): Reading {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { at: nowMs, values: {}, flaw: `expected an object, found ${shown(JSON.stringify(value))}` }
  }
  const values: Record<string, number> = {}
  for (const [field, place] of Object.entries(fields)) {
    const found = lookUp(value, place)
    values[field] = typeof found === 'number' ? found : Number.NaN
  }
  return { at: timeOf(lookUp(value, at)) ?? nowMs, values }
}

/** A name as it stands first, for names may hold dots; then level by level. */
function lookUp(value: object, place: string): unknown {
  if (Object.hasOwn(value, place)) return (value as Record<string, unknown>)[place]
  let found: unknown = value
  for (const part of place.split('.')) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, part)) return undefined
    found = (found as Record<string, unknown>)[part]
  }
  return found
}

/** The time that a message gives itself, if it does. */
export function stampOf(value: unknown, { at }: Mapping): number | undefined {
  return typeof value === 'object' && value !== null ? timeOf(lookUp(value, at)) : undefined
}

/** Milliseconds since 1970, or RFC 3339. What is neither is no time, and the reading is of now. */
export function timeOf(value: unknown): number | undefined {
  const at = typeof value === 'string' ? fromRfc3339(value) : value
  return typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : undefined
}

/** Quoted and short: it comes from outside and ends up in an event. */
function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
