import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import type { Model, ModelVersion } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Page } from '../parts/page.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { Ago } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { count, plural } from '../view/format.ts'

const columns: readonly Column<Model>[] = [
  { head: 'Model', cell: ({ name }) => <Link to={`/models/${encodeURIComponent(name)}`}>{name}</Link> },
  { head: 'What it is', cell: ({ description }) => <span className="detail">{description || '–'}</span> },
  { head: 'Versions', number: true, cell: ({ versions }) => count(versions?.length) },
  { head: 'Aliases', wide: true, cell: ({ aliases }) => <AliasList of={aliases ?? {}} /> },
  { head: 'Created', wide: true, cell: ({ createdAt }) => <Ago at={createdAt} /> },
]

export function ModelsPage() {
  const models = useQuery(ask.models)
  const n = models.data?.items.length ?? 0
  return (
    <Page
      title="Models"
      verdict={n > 0 && <Verdict tone="ok">{`${plural(n, 'model')} in the registry.`}</Verdict>}
    >
      <div className="section">
        <Answer to={models}>
          {({ items }) => (
            <Table
              caption="Models"
              columns={columns}
              rows={items}
              keyOf={({ name }) => name}
              empty="None yet: godwit version publish DIRECTORY MODEL@VERSION"
            />
          )}
        </Answer>
      </div>
    </Page>
  )
}

function AliasList({ of }: { of: Record<string, string> }) {
  const aliases = Object.entries(of)
  return aliases.length === 0 ? '–' : aliases.map(([alias, version]) => `${alias} → ${version}`).join(', ')
}

/** A version is uploaded first; only the publishers' signature makes it installable. */
export function Listed({ version }: { version: Pick<ModelVersion, 'listed' | 'listedAt' | 'delistedAt'> }) {
  const listed = version.listed ?? (version.listedAt ? !version.delistedAt : undefined)
  if (listed === true) return <State sign={{ tone: 'ok', icon: 'ok', word: 'signed and listed' }} />
  if (version.delistedAt) return <State sign={{ tone: 'warn', icon: 'warn', word: 'withdrawn' }} />
  return <State sign={{ tone: 'waiting', icon: 'pending', word: 'uploaded, not listed' }} />
}
