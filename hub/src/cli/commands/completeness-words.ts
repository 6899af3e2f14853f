import { table } from '../output.ts'

type Gap = {
  first: number
  last: number
  because: string
  slots?: { slot: string; from?: string; to?: string }[]
}
/** As the API tells it. */
export type Completeness = {
  sentence: string
  items: {
    session: string
    stream: string
    contiguous: number
    highest: number
    stored: number
    duplicates: number
    missing: Gap[]
    dropped: Gap[]
  }[]
  spool?: { at: string; records: number; bytes: number }
  outages: { at: string; slot?: string; windowsDropped: number; eventsDropped: number }[]
}

export function completenessWords({ sentence, items, spool, outages }: Completeness): string {
  const gaps = items.flatMap(({ session, stream, missing, dropped }) =>
    [...missing, ...dropped]
      .sort((a, b) => a.first - b.first)
      .map((gap) => [session.slice(0, 8), stream, rangeOf(gap), gap.because, placeOf(gap)]),
  )
  return [
    sentence,
    ...(spool ? [`Its spool held ${spool.records} records (${spool.bytes} bytes) at ${spool.at}.`] : []),
    ...outages.map(
      ({ at, slot, windowsDropped, eventsDropped }) =>
        `${at}  ${slot ?? ''}  its disk took nothing: ${windowsDropped} windows and ${eventsDropped} events lost`,
    ),
    table(
      ['SESSION', 'STREAM', 'UP TO', 'HIGHEST', 'STORED', 'REPEATS'],
      items.map((s) => [s.session.slice(0, 8), s.stream, s.contiguous, s.highest, s.stored, s.duplicates]),
      'no telemetry yet',
    ),
    ...(gaps.length > 0 ? ['', table(['SESSION', 'STREAM', 'MISSING', 'WHY', 'OF'], gaps, '')] : []),
  ].join('\n')
}

function rangeOf({ first, last }: Gap): string {
  return first === last ? `${first}` : `${first} to ${last}`
}

function placeOf({ slots }: Gap): string {
  return (slots ?? [])
    .map(({ slot, from, to }) => `slot ${slot}${from ? ` from ${from}` : ''}${to ? ` to ${to}` : ''}`)
    .join('; ')
}
