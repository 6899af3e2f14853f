import { useInfiniteQuery } from '@tanstack/react-query'
import type { RolloutEvent } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { At } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'
import { spaced } from '../../view/format.ts'

const columns: readonly Column<RolloutEvent>[] = [
  { head: 'When', cell: ({ at }) => <At at={at} /> },
  { head: 'What', cell: ({ kind }) => spaced(kind) },
  { head: 'Message', cell: ({ message }) => <span className="detail">{message}</span> },
  { head: 'Who', cell: ({ who }) => who ?? '–' },
]

/** What was decided, the newest first, a page at a time. */
export function Timeline({ id }: { id: string }) {
  const events = useInfiniteQuery(ask.rolloutEvents(id))
  return (
    <Answer to={events}>
      {({ pages }) => (
        <>
          <Table
            caption="Timeline, newest first"
            columns={columns}
            rows={pages.flatMap(({ items }) => items)}
            keyOf={({ id, at, message }) => `${id ?? at} ${message}`}
            empty="Nothing has happened yet."
          />
          {events.hasNextPage && (
            <button
              type="button"
              disabled={events.isFetchingNextPage}
              onClick={() => void events.fetchNextPage()}
            >
              Show more
            </button>
          )}
        </>
      )}
    </Answer>
  )
}
