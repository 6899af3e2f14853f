import { useQuery } from '@tanstack/react-query'
import type { Completeness as Answered, StreamCompleteness } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { At } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'
import { type GapRow, gapRows, rangeText } from '../../view/completeness.ts'
import { bytes, count, plural } from '../../view/format.ts'

/** A second session means that the device's spool was lost once. */
const sessionOf = ({ session }: { session: string }) => <code title={session}>{session.slice(0, 8)}</code>

const streamColumns: Column<StreamCompleteness>[] = [
  { head: 'Stream', cell: ({ stream }) => stream },
  { head: 'Stored', number: true, cell: ({ stored }) => count(stored) },
  {
    head: 'Up to',
    number: true,
    cell: ({ contiguous, highest }) => `${count(contiguous)} of ${count(highest)}`,
  },
  { head: 'Repeats', number: true, cell: ({ duplicates }) => count(duplicates) },
]
const gapColumns: Column<GapRow>[] = [
  { head: 'Missing', cell: (gap) => `${gap.stream} ${rangeText(gap)}` },
  { head: 'Why', cell: ({ because, reason }) => <span className="detail">{because ?? reason}</span> },
  { head: 'Of', cell: Place },
]

export function Completeness({ id }: { id: string }) {
  return <Answer to={useQuery(ask.completeness(id))}>{(data) => <Whole of={data} />}</Answer>
}

function Whole({ of: { sentence, items, spool, outages } }: { of: Answered }) {
  const gaps = gapRows(items)
  const isOneSession = new Set(items.map(({ session }) => session)).size < 2
  const sessionColumn = isOneSession ? [] : [{ head: 'Session', cell: sessionOf }]
  return (
    <>
      <p>{sentence}</p>
      {gaps.length > 0 && (
        <Table
          caption="What is missing, and why"
          rows={gaps}
          keyOf={({ session, stream, first }) => `${session} ${stream} ${first}`}
          empty=""
          columns={[...gapColumns, ...sessionColumn]}
        />
      )}
      {outages?.map(({ at, slot, windowsDropped, eventsDropped }) => (
        <p key={`${at} ${slot}`}>
          Its disk took nothing until <At at={at} />: {plural(windowsDropped, 'window')} and{' '}
          {plural(eventsDropped, 'event')} of slot {slot} were never numbered.
        </p>
      ))}
      <Table
        caption="Completeness per session and stream"
        rows={items}
        keyOf={({ session, stream }) => `${session} ${stream}`}
        empty="The device has sent nothing yet."
        columns={[...streamColumns, ...sessionColumn]}
      />
      {spool && (
        <p className="muted">
          Its spool held {plural(spool.records, 'record')} ({bytes(spool.bytes)}) at <At at={spool.at} />.
        </p>
      )}
    </>
  )
}

/** By the clock of the device: from the window before to the window after. */
function Place({ slots }: GapRow) {
  return slots?.map(({ slot, from, to }) => (
    <span key={slot} className="block">
      {slot}
      {from && (
        <>
          {' '}
          from <At at={from} />
        </>
      )}
      {to && (
        <>
          {' '}
          to <At at={to} />
        </>
      )}
    </span>
  ))
}
