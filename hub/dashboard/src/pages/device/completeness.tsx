import { useQuery } from '@tanstack/react-query'
import type { StreamCompleteness } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { ask } from '../../queries.ts'
import { completenessSentence, rangesText } from '../../view/completeness.ts'
import { count } from '../../view/format.ts'

/** A second session means that the device's spool was lost once. */
const sessionColumn: Column<StreamCompleteness> = {
  head: 'Session',
  cell: ({ session }) => <code title={session}>{session.slice(0, 8)}</code>,
}

export function Completeness({ id }: { id: string }) {
  const completeness = useQuery(ask.completeness(id))
  return (
    <Answer to={completeness}>
      {({ items }) => {
        const sessions = new Set(items.map(({ session }) => session)).size
        return (
          <>
            <p>{completenessSentence(items)}</p>
            <Table
              caption="Completeness per session and stream"
              rows={items}
              keyOf={({ session, stream }) => `${session} ${stream}`}
              empty="The device has sent nothing yet."
              columns={[
                ...(sessions > 1 ? [sessionColumn] : []),
                { head: 'Stream', cell: ({ stream }) => stream },
                { head: 'Stored', number: true, cell: ({ stored }) => count(stored) },
                {
                  head: 'Up to',
                  number: true,
                  cell: ({ contiguous, highest }) => `${count(contiguous)} of ${count(highest)}`,
                },
                { head: 'Missing', cell: ({ missing }) => rangesText(missing) },
                { head: 'Dropped', cell: ({ dropped }) => rangesText(dropped) },
                { head: 'Repeats', number: true, cell: ({ duplicates }) => count(duplicates) },
              ]}
            />
          </>
        )
      }}
    </Answer>
  )
}
