import { readFile } from 'node:fs/promises'
import { Fault } from '@godwit/protocol/fault'
import type { Clock } from '../clock.ts'
import { Pace } from './pace.ts'
import { type Recording, readRecording } from './recording.ts'
import type { Reading, Source, SourceConfig } from './source.ts'

/** The row that comes next, and how often the whole recording was played before. */
type Place = { pass: number; index: number }

/** Loads the whole recording: eight bytes per number that the pipeline uses. */
export async function openReplay(
  config: Extract<SourceConfig, { kind: 'replay' }>,
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
): Promise<Source> {
  let text: string
  try {
    text = await readFile(config.path, 'utf8')
  } catch (cause) {
    throw new Fault('source-unavailable', `cannot read the recording ${config.path}`, { cause })
  }
  const recording = readRecording(text, fields, config.path)
  return replay(recording, config, placeOf(cursor), clock)
}

/** The same recording plays the same readings again; only their times are new. */
export function replay(
  { columns, length }: Recording,
  { intervalMs, loop }: { intervalMs: number; loop: boolean },
  start: Place,
  clock: Clock,
): Source {
  const pace = new Pace(clock, intervalMs)
  let place = start
  return {
    async next(signal) {
      if (signal.aborted) throw signal.reason
      if (place.index >= length && loop && length > 0) place = { pass: place.pass + 1, index: 0 }
      const { pass, index } = place
      if (index >= length) return undefined
      await pace.next(signal)
      const values: Record<string, number> = {}
      for (const [field, column] of columns) values[field] = column[index]!
      place = { pass, index: index + 1 }
      const reading: Reading = { at: clock.now(), position: `${pass}:${index}`, values }
      if (index === 0) reading.isFirst = true
      return { reading, cursor: place }
    },
    async close() {},
  }
}

/** A cursor of another kind of source is none. */
function placeOf(cursor: unknown): Place {
  const { pass, index } = (cursor ?? {}) as Partial<Place>
  if (Number.isSafeInteger(pass) && Number.isSafeInteger(index)) return { pass: pass!, index: index! }
  return { pass: 0, index: 0 }
}
