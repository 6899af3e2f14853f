/** One reading: named numbers, with the time and place it had in its source. */
export type Reading = {
  at: number
  /** Position in the source, if it has one: makes events repeatable without being counted twice. */
  position?: string
  /** Does not follow on the reading before: a recording begins anew, or a followed file was replaced. */
  isFirst?: true
  /** NaN or absent means that the sensor gave nothing. */
  values: Record<string, number>
}

/** Where a slot's readings come from. Absolute paths; checked in `config.ts`. */
export type SourceConfig =
  /** Replays a recording at a fixed pace, for ever if `loop`: the demo and bench's source. */
  | { kind: 'replay'; path: string; intervalMs: number; loop: boolean }
  /** Follows a growing JSONL file, as `tail -F` does. */
  | { kind: 'jsonl'; path: string }

/**
 * A source that can be positioned. `next` resolves with the reading and the cursor *after* it; undefined at the end.
 * Aborting makes a pending `next` reject with an AbortError and loses nothing.
 */
export type Source = {
  next(signal: AbortSignal): Promise<{ reading: Reading; cursor: unknown } | undefined>
  close(): Promise<void>
}
