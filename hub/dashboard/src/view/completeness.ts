import type { StreamCompleteness } from '../api.ts'
import { plural, unknown } from './format.ts'

type Ranges = StreamCompleteness['missing']

function sizeOf(ranges: Ranges, reason?: string): number {
  const wanted = (ranges ?? []).filter((range) => reason === undefined || range.reason === reason)
  return wanted.reduce((sum, { first, last }) => sum + last - first + 1, 0)
}

export function rangesText(ranges: Ranges): string {
  if (!ranges) return unknown
  if (ranges.length === 0) return 'none'
  const shown = ranges
    .slice(0, 6)
    .map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`))
  const more = ranges.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${plural(more, 'more range')}` : '')
}

/** How much is here, what is not and why, and that nothing counts twice. */
export function completenessSentence(streams: readonly StreamCompleteness[]): string {
  if (streams.length === 0) return 'No telemetry yet.'
  const total = (value: (stream: StreamCompleteness) => number | null | undefined) =>
    streams.reduce((sum, stream) => sum + (value(stream) ?? 0), 0)
  const stored = total((stream) => stream.stored)
  const lost = total(({ missing }) => sizeOf(missing, 'never_arrived'))
  const awaited = total(({ missing }) => sizeOf(missing)) - lost
  const dropped = total((stream) => sizeOf(stream.dropped))
  const rejected = total((stream) => stream.rejected)
  const duplicates = total((stream) => stream.duplicates)
  const isWhole = lost + awaited + dropped + rejected === 0
  const parts = [
    isWhole
      ? `Complete: ${plural(stored, 'record')} stored, none missing`
      : `${plural(stored, 'record')} stored`,
    awaited > 0 && `${awaited} awaited from the device`,
    lost > 0 && `${lost} never arrived`,
    dropped > 0 && `${dropped} dropped by the device for want of room`,
    rejected > 0 && `${rejected} refused as malformed`,
    duplicates > 0 ? `${plural(duplicates, 'repeat')} not stored again` : 'none came twice',
  ]
  return `${parts.filter(Boolean).join('; ')}.`
}
