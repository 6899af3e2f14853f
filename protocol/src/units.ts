/** Milliseconds since 1970-01-01T00:00:00Z, by the clock that the field's owner trusts. */
export type EpochMs = number

/** A stretch of time in milliseconds, never negative. */
export type DurationMs = number

export const JOULES_PER_KILOWATT_HOUR = 3_600_000

/** RFC 3339 in UTC with milliseconds, the only date form on the wire. */
export function toRfc3339(at: EpochMs): string {
  return new Date(at).toISOString()
}

/** NaN when the text is no RFC 3339 date; callers check, because a date that fails to parse must never compare as valid. */
export function fromRfc3339(text: string): EpochMs {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN
}
