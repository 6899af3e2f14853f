import type { EventRecord, WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { BundleFile, Release, Variant } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { Runtime } from './session/session.ts'
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
      /** SHA-256 of the bundle's files by their paths, for those that only the pipeline names. */
      digests?: Record<string, string>
      /** In order of preference; the runner says which one ran. */
      executionProviders: string[]
      threads: number
      /** Mixed into the proof, so that it cannot be copied from another device or session. */
      proofNonce: string
    }
  | { type: 'self-test' }
  /** The first golden vector over and over for that long, while control reads its meter. */
  | { type: 'bench'; durationMs: number }
  | { type: 'serve'; source: SourceConfig; windowMs: number; checkpoint?: Checkpoint }
  /** Of a newer directive, for the runner that serves already. */
  | { type: 'settings'; windowMs: number }
  /** A listener comes along; requests are taken from it until `hand-over`. */
  | { type: 'listen'; api: ApiOrder }
  /** Stop reading at a boundary, send the last window, answer `handed-over`. */
  | { type: 'hand-over' }
  /** Control has taken the window over; the runner may send so many more. */
  | { type: 'stored'; window: number }
  | { type: 'ping'; id: number }
  /** `lingerMs`: how long clients that are connected may take to notice, when another runner takes over. */
  | { type: 'stop'; lingerMs?: number }

export type FromRunner =
  | { type: 'started'; pid: number; runtime: Runtime }
  | {
      type: 'loaded'
      loadedDigest: string
      /** The one that runs the model. */
      executionProvider: string
      /** How many nodes of its graph ran where, if that could be more than one place. */
      nodes?: Record<string, number>
      loadMs: number
      rssBytes: number
    }
  | {
      type: 'tested'
      agreed: number
      total: number
      p95Micros: number
      /** Absent from an engine that does not say. */
      p50Micros?: number
      cpuMicros?: number
      rssBytes: number
      proof: string
    }
  | { type: 'benched'; count: number; elapsedMs: number }
  | { type: 'serving' }
  | {
      type: 'window'
      /** Numbers this runner's windows from 1, for `stored`. */
      window: number
      /** Without energy: control measures that. */
      record: WindowRecord
      events: EventRecord[]
      /**
       * To be stored in the same transaction: where the source goes on, and what was half counted. Absent in the
       * record of requests that a runner answered after it had handed over.
       */
      checkpoint?: Checkpoint
    }
  | { type: 'handed-over'; checkpoint: Checkpoint }
  /** The source ended (a finite file); the runner stays. */
  | { type: 'source-ended' }
  /** It cannot be opened, or failed, and is opened again and again; told once for each reason. */
  | { type: 'source-unavailable'; detail: string }
  /** It gave something again. */
  | { type: 'source-available' }
  | { type: 'pong'; id: number; rssBytes: number; inferences: number }
  | { type: 'failed'; code: ResultCode; detail: string }

/** How the local inference API is to behave on one listener. Checked in `api-config.ts`. */
export type ApiOrder = {
  /** Whoever asks must show it; absent on a Unix socket, where the file's mode decides. */
  token?: string
  isSocket: boolean
  limits: ApiLimits
}

export type ApiLimits = {
  bodyBytesMax: number
  elementsMax: number
  queueMax: number
  deadlineMs: number
  connectionsMax: number
}

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
  /** With a stride: readings until the next inference; absent: none. */
  untilInference?: number
  /** Half-filled drift counters of this release; ignored by any other release. */
  drift?: { releaseDigest: string; state: unknown }
  /** By release digest: the drift index that comes next. A release that returns goes on counting where it left off. */
  driftNext?: Record<string, number>
  /** Anomalies that may go on; a runner of another release reports them as ended. */
  episode?: { releaseDigest: string; state: unknown }
}
