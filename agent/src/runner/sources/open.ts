import type { Pipeline } from '@godwit/protocol/release/pipeline'
import type { Clock } from '../clock.ts'
import { fieldsUsedBy } from '../pipeline/monitors.ts'
import { openFollowed } from './follow.ts'
import { Inbox } from './inbox.ts'
import { openReplay } from './replay.ts'
import { ResampledSource, rawCursor } from './resampled.ts'
import type { Source, SourceConfig } from './source.ts'

export type SourceOrder = {
  config: SourceConfig
  pipeline: Pipeline
  cursor: unknown
  slot: string
  /** Is given where posted readings wait, if that is the source. */
  onInbox?: (inbox: Inbox) => void
}

/**
 * The readings that a pipeline wants, at the pace it wants them. A source need not deliver fields that it does not use.
 *
 * `cursor` comes from a checkpoint; null or undefined begins at the start.
 */
export async function openSource(order: SourceOrder, clock: Clock): Promise<Source> {
  const { pipeline, cursor } = order
  const fields = fieldsUsedBy(pipeline)
  const raw = await openRaw({ ...order, cursor: rawCursor(cursor) }, fields, clock)
  const { resample: spec, window } = pipeline
  return spec ? new ResampledSource(raw, { spec, fields, window }, cursor) : raw
}

/** What brings a client or a server along is loaded only where it is used: a runner has no megabytes to spare. */
async function openRaw(
  { config, cursor, slot, onInbox }: SourceOrder,
  fields: readonly string[],
  clock: Clock,
): Promise<Source> {
  if (config.kind === 'replay') return openReplay(config, fields, cursor, clock)
  if (config.kind === 'jsonl' || config.kind === 'csv') return openFollowed(config, fields, cursor, clock)
  if (config.kind === 'mqtt') return (await import('./mqtt.ts')).openMqtt(config, fields, cursor, clock, slot)
  if (config.kind === 'http') return (await import('./http.ts')).openHttp(config, fields, cursor, clock)
  if (config.kind === 'api') {
    const inbox = new Inbox(config.bufferMax, cursor, async () => {})
    onInbox?.(inbox)
    return inbox
  }
  return (await import('./pipe.ts')).openPipe(
    fields,
    cursor,
    clock,
    config.kind === 'fifo' ? config.path : undefined,
  )
}
