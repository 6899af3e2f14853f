import type { EventRecord } from '@godwit/protocol/messages/telemetry'
import type { Reading } from '../sources/source.ts'

/** Quiet readings that an episode outlives. */
export const gapReadingsMax = 3
/** An episode that goes on this long is reported and continued, each part twice as long as the one before. */
export const partReadingsMin = 256
const positionsCharsMax = 1_000

/** Anomalous readings close together: one event for a person. Plain JSON. */
export type Episode = {
  at: number
  firstPosition: string
  lastPosition: string
  /** Comma-joined, as many as fit; `count` tells how many there were. */
  positions: string
  /** Anomalous readings. */
  count: number
  peak: number
  /** All readings so far, quiet ones included. */
  readings: number
  quiet: number
  /** 0, or the number of parts already reported. */
  part: number
}

/** Cuts the stream of readings into episodes. Counts readings, never time: a replay cuts at the same places. */
export class Episodes {
  open: Episode | undefined

  constructor(open?: Episode) {
    this.open = open
  }

  /** Takes an anomalous reading; returns the part that it completes. */
  anomaly(reading: Reading, value: number): Episode | undefined {
    const position = reading.position ?? String(reading.at)
    const open = extended(this.open ?? empty(0), reading.at, position, value)
    const isLong = open.readings >= partReadingsMin * 2 ** open.part
    this.open = isLong ? empty(open.part + 1) : open
    return isLong ? open : undefined
  }

  /** Takes any other reading; returns the episode that it ends. */
  quiet(): Episode | undefined {
    if (!this.open) return undefined
    this.open.readings++
    this.open.quiet++
    return this.open.quiet > gapReadingsMax ? this.end() : undefined
  }

  /** A continuation without an anomaly of its own is no episode. */
  end(): Episode | undefined {
    const ended = this.open
    this.open = undefined
    return ended && ended.count > 0 ? ended : undefined
  }
}

function empty(part: number): Episode {
  const positions = { firstPosition: '', lastPosition: '', positions: '' }
  return { at: 0, ...positions, count: 0, peak: 0, readings: 0, quiet: 0, part }
}

function extended(episode: Episode, at: number, position: string, value: number): Episode {
  const isFirst = episode.count === 0
  const positions = isFirst ? position : `${episode.positions},${position}`
  return {
    ...episode,
    at: isFirst ? at : episode.at,
    firstPosition: isFirst ? position : episode.firstPosition,
    lastPosition: position,
    positions: positions.length <= positionsCharsMax ? positions : episode.positions,
    count: episode.count + 1,
    peak: isFirst ? value : Math.max(episode.peak, value),
    readings: episode.readings + 1,
    quiet: 0,
  }
}

/** The same reading of the same source under the same release makes the same key, however often it is read. */
export function episodeEvent(
  episode: Episode,
  { slot, releaseDigest, threshold }: { slot: string; releaseDigest: string; threshold: number | undefined },
): EventRecord {
  const { at, count, peak, firstPosition, lastPosition, positions, part } = episode
  const detail: EventRecord['detail'] = { count, peak, firstPosition, lastPosition, positions }
  if (threshold !== undefined) detail['threshold'] = threshold
  if (part > 0) detail['part'] = part
  const key = `${releaseDigest.slice(0, 12)}:${firstPosition}`
  return { kind: 'anomaly', key, at, slot, releaseDigest, severity: 'warning', detail }
}
