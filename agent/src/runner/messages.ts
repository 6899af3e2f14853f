import type { EventRecord, WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { BundleFile, Release, Variant } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { SourceConfig } from './sources/source.ts'

/**
 * What control and a runner say to each other over the process channel: summaries, never single inferences.
 * Plain JSON, so that a runner can be replaced by another engine or language.
 */
export type ToRunner =
  | {
      type: 'load'
      slot: string
      model: string
      version: string
      releaseDigest: string
      /** Directory of the staged bundle, holding the files below under their bundle paths. */
      directory: string
      variant: Variant
      modelFile: BundleFile
      /** What the release promises about inputs and outputs; the loaded model must say the same. */
      io: Release['io']
      golden: string
      pipeline: string
      profile?: string
      /** In order of preference; the runner says which one ran. */
      executionProviders: string[]
      threads: number
      /** Mixed into the proof, so that it cannot be copied from another device or session. */
      proofNonce: string
    }
  | { type: 'self-test'; promises: { p95Micros?: number; memoryBytes?: number } }
  | { type: 'serve'; source: SourceConfig; windowMs: number; checkpoint?: Checkpoint }
  /** Of a newer directive, for the runner that serves already. */
  | { type: 'settings'; windowMs: number }
  /** Stop reading at a boundary, send the last window, answer `handed-over`. */
  | { type: 'hand-over' }
  /** Control has taken the window over; the runner may send so many more. */
  | { type: 'stored'; window: number }
  | { type: 'ping'; id: number }
  | { type: 'stop' }

export type FromRunner =
  | { type: 'started'; pid: number; runtime: { name: string; version: string; executionProviders: string[] } }
  | { type: 'loaded'; loadedDigest: string; executionProvider: string; loadMs: number; rssBytes: number }
  | { type: 'tested'; agreed: number; total: number; p95Micros: number; rssBytes: number; proof: string }
  | { type: 'serving' }
  | {
      type: 'window'
      /** Numbers this runner's windows from 1, for `stored`. */
      window: number
      /** Without energy: control measures that. */
      record: WindowRecord
      events: EventRecord[]
      /** To be stored in the same transaction: where the source goes on, and what was half counted. */
      checkpoint: Checkpoint
    }
  | { type: 'handed-over'; checkpoint: Checkpoint }
  /** The source ended (a finite file); the runner stays. */
  | { type: 'source-ended' }
  | { type: 'pong'; id: number; rssBytes: number; inferences: number }
  | { type: 'failed'; code: ResultCode; detail: string }

/**
 * Resuming from it repeats nothing and skips nothing, provided that the source can be positioned. JSON: null stands
 * where a reading had no number.
 */
export type Checkpoint = {
  /** Opaque to control; written and read by the same kind of source. */
  source: unknown
  /** Names of the numbers in `ring`, so that a release with other fields takes over only what it knows. */
  fields: string[]
  /** The last complete readings, oldest first, so that the next model needs no warm-up. One array of field values each. */
  ring: { at: number; values: number[] }[]
  /** What increments are taken from: values of the reading just before. */
  previous: Record<string, number | null>
  /** Half-filled drift counters of this release; ignored by any other release. */
  drift?: { releaseDigest: string; state: unknown }
  /** By release digest: the drift index that comes next. A release that returns goes on counting where it left off. */
  driftNext?: Record<string, number>
  /** Anomalies that may go on; a runner of another release reports them as ended. */
  episode?: { releaseDigest: string; state: unknown }
}
