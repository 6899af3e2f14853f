import { useQuery, useQueryClient } from '@tanstack/react-query'
import { api, type BrowserSession } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { Section } from '../../parts/page.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'

export function Sessions() {
  const client = useQueryClient()
  const sessions = useQuery(ask.sessions)
  const renew = () => client.invalidateQueries({ queryKey: ask.sessions.queryKey })
  const end = () => api.endOtherSessions().then(renew)
  const columns: readonly Column<BrowserSession>[] = [
    { head: 'Session', cell: ({ id }) => <code>{id}</code> },
    { head: 'Since', cell: ({ startedAt }) => <Ago at={startedAt} /> },
    {
      head: '',
      cell: ({ id, isThis }) =>
        isThis ? (
          'this browser'
        ) : (
          <button
            type="button"
            aria-label={`Log out of session ${id}`}
            onClick={() => void api.endSession(id).then(renew)}
          >
            Log out there
          </button>
        ),
    },
  ]
  return (
    <Section
      title="Where you are logged in"
      side={
        (sessions.data?.items.length ?? 0) > 1 && (
          <button type="button" onClick={() => void end()}>
            Log out everywhere else
          </button>
        )
      }
    >
      <Answer to={sessions}>
        {({ items }) => (
          <Table caption="Sessions" columns={columns} rows={items} keyOf={({ id }) => id} empty="Nowhere" />
        )}
      </Answer>
    </Section>
  )
}
