import type { Checkpoint, FromRunner } from '@godwit/agent/runner/messages'
import { Serving, type ServingParts } from '@godwit/agent/runner/serve'
import type { Recording } from '@godwit/agent/runner/sources/recording'
import { replay } from '@godwit/agent/runner/sources/replay'
import type { Source } from '@godwit/agent/runner/sources/source'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import type { EventRecord, WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { meanSession } from './fake-session.ts'
import { ManualClock } from './manual-clock.ts'

export type WindowMessage = Extract<FromRunner, { type: 'window' }>

export const pipeline: Pipeline = {
  format: 'godwit-pipeline/1',
  fields: ['t'],
  window: 3,
  input: 'x',
  outputs: ['score'],
  decision: { output: 'score', above: 8 },
  monitor: [
    { name: 'score', of: { output: 'score' } },
    { name: 'step', of: { incrementOf: 't' } },
  ],
}

const reference = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 101) / 10)
export const profile = buildProfile([{ score: reference, step: reference.map((value) => value - 5) }], {
  windowSize: 8,
})

export const serves = { slot: 'main', model: 'mean', version: '1', releaseDigest: 'a'.repeat(64) }

export function recordingOf(values: readonly (number | null)[]): Recording {
  const column = Float64Array.from(values, (value) => value ?? Number.NaN)
  return { length: values.length, columns: new Map([['t', column]]) }
}

type Options = Partial<ServingParts> & {
  checkpoint?: Checkpoint
  storeAtOnce?: boolean
  stepMs?: number
  /** The recording is played so often; without a source of its own. */
  passes?: number
}

/** A runner's data plane over a recording; each inference takes `stepMs` of manual time. */
export function serve(recording: Recording, options: Options = {}) {
  const clock = new ManualClock()
  const messages: FromRunner[] = []
  const { stepMs = 1, storeAtOnce = true, checkpoint, passes = 1 } = options
  const start = (checkpoint?.source ?? { pass: 0, index: 0 }) as { pass: number; index: number }
  let onEnd: () => void
  const ended = new Promise<void>((resolve) => {
    onEnd = resolve
  })
  const serving: Serving = new Serving({
    session: meanSession(() => clock.advance(stepMs)),
    pipeline,
    profile,
    serves,
    clock,
    source: endsAfter(passes, replay(recording, { intervalMs: 0, loop: passes > 1 }, start, clock)),
    windowMs: 10,
    ...options,
    send(message) {
      messages.push(JSON.parse(JSON.stringify(message)))
      if (message.type === 'window' && storeAtOnce) serving.stored(message.window)
      if (message.type === 'source-ended') onEnd()
    },
  })
  const done = serving.run()
  const windows = () => messages.filter((message): message is WindowMessage => message.type === 'window')
  return { serving, clock, messages, windows, done, ended }
}

/** A recording that loops, but not for ever. */
function endsAfter(passes: number, source: Source): Source {
  return {
    async next(signal) {
      const next = await source.next(signal)
      return next && (next.cursor as { pass: number }).pass < passes ? next : undefined
    },
    close: () => source.close(),
  }
}

/** Serves a whole recording and returns its windows. */
export async function windowsOver(recording: Recording, options: Options = {}): Promise<WindowMessage[]> {
  const { serving, windows, ended } = serve(recording, options)
  await ended
  await serving.finish()
  return windows()
}

/** What must not depend on where windows were cut: counts, drift windows and episodes. */
export function totalsOf(windows: readonly { record: WindowRecord; events: EventRecord[] }[]) {
  const records = windows.map(({ record }) => record)
  const total = (count: (record: WindowRecord) => number) =>
    records.reduce((sum, record) => sum + count(record), 0)
  return {
    readings: total((record) => record.readings),
    inferences: total((record) => record.inferences),
    errors: total((record) => record.errors),
    warmUp: total((record) => record.warmUp),
    anomalies: total((record) => record.anomalies),
    timed: total(({ latency }) => latency.counts.reduce((sum, count) => sum + count, 0)),
    drift: records.flatMap((record) => record.drift),
    // Their times are of the replay, not of the recording.
    episodes: windows.flatMap(({ events }) =>
      events.filter(isAnomaly).map(({ key, detail }) => ({ key, detail })),
    ),
  }
}

function isAnomaly({ kind }: EventRecord): boolean {
  return kind === 'anomaly'
}
