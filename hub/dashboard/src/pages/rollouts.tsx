import { useQuery } from '@tanstack/react-query'
import { Link, useSearchParams } from 'react-router'
import type { Rollout } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Page } from '../parts/page.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { TallyBar } from '../parts/tally.tsx'
import { Ago } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { plural } from '../view/format.ts'
import { countsOf, isActive, needsPerson } from '../view/rollout.ts'

const columns: readonly Column<Rollout>[] = [
  {
    head: 'Rollout',
    cell: ({ id, model, version }) => (
      <Link to={`/rollouts/${encodeURIComponent(id)}`}>{`${model}@${version}`}</Link>
    ),
  },
  { head: 'State', cell: ({ phase }) => <State of={phase} /> },
  { head: 'Devices', cell: ({ waves }) => (waves ? <TallyBar of={countsOf(waves)} /> : '–') },
  { head: 'Started', cell: ({ createdAt }) => <Ago at={createdAt} /> },
  { head: 'By', wide: true, cell: ({ createdBy }) => createdBy ?? '–' },
  {
    head: 'What happened',
    wide: true,
    cell: ({ sentence }) => <span className="detail">{sentence ?? '–'}</span>,
  },
]

const tabs = [
  { key: '', text: 'All', keep: () => true },
  { key: 'active', text: 'Active', keep: isActive },
  { key: 'finished', text: 'Finished', keep: (rollout: Rollout) => !isActive(rollout) },
] as const

export function RolloutsPage() {
  const [parameters] = useSearchParams()
  const rollouts = useQuery(ask.rollouts)
  const tab = tabs.find(({ key }) => key === parameters.get('show')) ?? tabs[0]
  return (
    <Page title="Rollouts" verdict={rollouts.data && <ListVerdict rollouts={rollouts.data.items} />}>
      <nav className="tabs" aria-label="Which rollouts">
        {tabs.map(({ key, text }) => (
          <Link key={key} to={key ? `?show=${key}` : '?'} aria-current={key === tab.key ? 'page' : undefined}>
            {text}
          </Link>
        ))}
      </nav>
      <div className="section">
        <Answer to={rollouts}>
          {({ items }) => (
            <Table
              caption="Rollouts"
              columns={columns}
              rows={items.filter(tab.keep)}
              keyOf={({ id }) => id}
              empty={items.length === 0 ? 'None yet: godwit rollout create MODEL@VERSION' : 'None of these.'}
            />
          )}
        </Answer>
      </div>
    </Page>
  )
}

function ListVerdict({ rollouts }: { rollouts: readonly Rollout[] }) {
  const active = rollouts.filter(isActive)
  const waiting = active.filter(needsPerson).length
  if (waiting > 0)
    return <Verdict tone="warn">{`${plural(waiting, 'rollout')} will not go on without a person.`}</Verdict>
  if (active.length > 0)
    return <Verdict tone="busy">{`${plural(active.length, 'rollout')} under way.`}</Verdict>
  return <Verdict tone="ok">{rollouts.length === 0 ? 'No rollouts yet.' : 'Nothing is moving.'}</Verdict>
}
