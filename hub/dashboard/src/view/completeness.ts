import type { Gap, StreamCompleteness } from '../api.ts'

export type GapRow = Gap & { session: string; stream: string }

/** Of all streams, as the numbers go. */
export function gapRows(streams: readonly StreamCompleteness[]): GapRow[] {
  return streams.flatMap(({ session, stream, missing, dropped }) =>
    [...(missing ?? []), ...(dropped ?? [])]
      .sort((a, b) => a.first - b.first)
      .map((gap) => ({ ...gap, session, stream })),
  )
}

export function rangeText({ first, last }: Gap): string {
  return first === last ? `${first}` : `${first} to ${last}`
}
