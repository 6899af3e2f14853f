import { useQuery } from '@tanstack/react-query'
import { Link, useSearchParams } from 'react-router'
import type { EnergyGroup, EnergyGrouping, EnergyReport } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Bar } from '../parts/bar.tsx'
import { Computed } from '../parts/computed.tsx'
import { Page, Section } from '../parts/page.tsx'
import { DeviceLink, ReleaseLink } from '../parts/release.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { ask } from '../queries.ts'
import {
  billedJoules,
  factorsOf,
  factorText,
  groupsOf,
  joulesPerInference,
  provenanceText,
  spreadText,
} from '../view/energy.ts'
import { count, grams, joules, percent, unknown } from '../view/format.ts'

const groupings: readonly { by: EnergyGrouping; text: string }[] = [
  { by: 'version', text: 'By version' },
  { by: 'model', text: 'By model' },
  { by: 'device', text: 'By device' },
]

export function EnergyPage() {
  const [parameters] = useSearchParams()
  const by = groupings.find((grouping) => grouping.by === parameters.get('by'))?.by ?? 'version'
  const overview = useQuery(ask.overview)
  const energy = useQuery(ask.energy(by))
  const total = energy.data?.total ?? overview.data?.energy
  return (
    <Page
      title="Energy & carbon"
      verdict={
        total?.label ? (
          <Verdict tone={total.label === 'measured' ? 'ok' : 'waiting'}>
            {`${joules(billedJoules(total))} and ${grams(total.grams)} CO₂e so far; ${provenanceText(total)}.`}
          </Verdict>
        ) : (
          <Verdict tone="waiting">No energy figure yet.</Verdict>
        )
      }
    >
      {total?.label && (
        <>
          <p className="muted lead">{factorsOf(total).map(factorText).join('; ')}</p>
          <Computed energy={total} />
        </>
      )}
      <nav className="tabs" aria-label="Grouping">
        {groupings.map((grouping) => (
          <Link
            key={grouping.by}
            to={`?by=${grouping.by}`}
            aria-current={grouping.by === by ? 'page' : undefined}
          >
            {grouping.text}
          </Link>
        ))}
      </nav>
      <Answer to={energy}>{(report) => <Groups report={report} by={by} />}</Answer>
    </Page>
  )
}

function Groups({ report, by }: { report: EnergyReport; by: EnergyGrouping }) {
  const rows = groupsOf(report)
  const most = Math.max(...rows.map((row) => billedJoules(row) ?? 0), Number.MIN_VALUE)
  return (
    <Section title={groupings.find((grouping) => grouping.by === by)!.text} side={<Legend />}>
      <Table
        caption="Energy and carbon"
        columns={columnsFor(most)}
        rows={rows}
        keyOf={({ deviceId, model, version }) => `${deviceId} ${model} ${version}`}
        empty="No window with energy yet."
      />
      {rows.map((row) => (
        <Computed key={`${row.deviceId} ${row.model} ${row.version}`} energy={row} of={nameOf(row)} />
      ))}
    </Section>
  )
}

function nameOf({ deviceId, model, version }: EnergyGroup): string {
  return deviceId ?? (version ? `${model}@${version}` : (model ?? unknown))
}

function columnsFor(most: number): Column<EnergyGroup>[] {
  return [
    { head: 'What', cell: (row) => <Named row={row} /> },
    { head: 'Energy', number: true, cell: (row) => joules(billedJoules(row)) },
    {
      head: 'Share of the largest',
      wide: true,
      cell: (row) => (
        <Bar share={(billedJoules(row) ?? 0) / most} hatched={row.label !== 'measured'} tone="ok" />
      ),
    },
    { head: 'Carbon', number: true, cell: (row) => grams(row.grams) },
    { head: 'Above idle / inference', number: true, cell: (row) => joules(joulesPerInference(row)) },
    { head: 'Inferences', number: true, wide: true, cell: (row) => count(row.inferences) },
    {
      head: 'How',
      cell: (row) => (
        <State
          sign={{
            tone: row.label === 'measured' ? 'ok' : 'waiting',
            icon: row.label === 'measured' ? 'ok' : 'dot',
            word: row.label ?? unknown,
          }}
        />
      ),
    },
    { head: 'Coverage', number: true, cell: (row) => percent(row.coverage) },
    { head: 'One sigma', number: true, wide: true, cell: (row) => spreadText(row.sigmaFactor) },
  ]
}

function Named({ row }: { row: EnergyGroup }) {
  if (row.deviceId) return <DeviceLink id={row.deviceId} />
  if (row.model && row.version) return <ReleaseLink of={{ model: row.model, version: row.version }} />
  return row.model ? <Link to={`/models/${encodeURIComponent(row.model)}`}>{row.model}</Link> : unknown
}

function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      <li>
        <span className="swatch solid" /> measured
      </li>
      <li>
        <span className="swatch hatched-swatch" /> estimated (modelled or assumed)
      </li>
    </ul>
  )
}
