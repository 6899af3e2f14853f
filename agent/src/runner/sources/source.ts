/** One reading: named numbers, with the time and place it had in its source. */
export type Reading = {
  at: number
  /** Position in the source, if it has one: makes events repeatable without being counted twice. */
  position?: string
  /** Does not follow on the reading before: a recording begins anew, or a followed file was replaced. */
  isFirst?: true
  /** What is wrong with an input that could not be read. It counts as an error and is told with this reason. */
  flaw?: string
  /** NaN or absent means that the sensor gave nothing. */
  values: Record<string, number>
}

/** How a message becomes a reading. `fields`: name of the field to its place in the message, dots between levels. */
export type Mapping = { fields: Readonly<Record<string, string>>; at: string }

/** Where a slot's readings come from. Absolute paths; checked in `config.ts`. */
export type SourceConfig =
  /** Replays a recording at a fixed pace, for ever if `loop`: the demo and bench's source. */
  | { kind: 'replay'; path: string; intervalMs: number; loop: boolean }
  /** Follows a growing file, as `tail -F` does: a JSON object a line, or CSV under a header line. */
  | { kind: 'jsonl' | 'csv'; path: string }
  /** JSON lines from a pipe that control holds open: its own standard input, or a FIFO. */
  | { kind: 'stdin' }
  | { kind: 'fifo'; path: string }
  | ({
      kind: 'mqtt'
      url: string
      topic: string
      clientId?: string
      username?: string
      passwordFile?: string
      caFile?: string
      bufferMax: number
    } & Mapping)
  /** Asks an address again and again. */
  | ({ kind: 'http'; url: string; intervalMs: number; tokenFile?: string; caFile?: string } & Mapping)
  /** What is posted to the slot's own `api`, readings or inference requests. */
  | { kind: 'api'; bufferMax: number }

/**
 * Where readings come from. `next` resolves with the reading and the cursor *after* it; undefined at the end.
 * Aborting makes a pending `next` reject with an AbortError and loses nothing.
 */
export type Source = {
  next(signal: AbortSignal): Promise<{ reading: Reading; cursor: unknown } | undefined>
  /** Instead of the cursor, where making one for every reading would cost too much: holds when no `next` is pending. */
  position?(): unknown
  /** Inputs that had to be let go since this was last asked. */
  dropped?(): number
  /** Afterwards nothing is taken in any more, and `position` tells all that was. */
  close(): Promise<void>
}
