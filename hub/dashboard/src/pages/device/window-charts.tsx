import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import type { TelemetryWindow } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { Table } from '../../parts/table.tsx'
import { At } from '../../parts/time.tsx'
import { ask } from '../../queries.ts'
import { count, joules, number } from '../../view/format.ts'
import { inOrder, joulesOf, p95Text, seriesOf } from '../../view/windows.ts'

/** Only this page draws charts, so only it loads the library. */
const Chart = lazy(() => import('../../parts/chart.tsx'))

export function WindowCharts({ id }: { id: string }) {
  const windows = useQuery(ask.windows(id))
  return (
    <Answer to={windows}>
      {({ items }) =>
        items.length === 0 ? <p className="empty">No windows yet.</p> : <Charts windows={items} />
      }
    </Answer>
  )
}

function Charts({ windows }: { windows: readonly TelemetryWindow[] }) {
  const series = seriesOf(windows)
  const ordered = inOrder(windows).map(({ window }) => window)
  const last = ordered.at(-1)
  const label = last?.energy?.label
  return (
    <>
      <div className="charts">
        <Figure
          title="Inferences per window"
          now={count(last?.inferences)}
          at={series.at}
          values={series.inferences}
        />
        <Figure
          title="p95 latency, ms"
          now={last ? p95Text(last) : '–'}
          at={series.at}
          values={series.p95Ms}
        />
        <Figure
          title={`Joules per window${label ? `, ${label}` : ''}`}
          now={last ? joules(joulesOf(last)) : '–'}
          at={series.at}
          values={series.joules}
        />
      </div>
      <details>
        <summary>View as table</summary>
        <Table
          caption="The windows behind the charts, newest first"
          rows={[...ordered].reverse()}
          keyOf={({ session, seq, end }) => `${session} ${seq} ${end}`}
          empty="No windows yet."
          columns={[
            { head: 'Ended', cell: ({ end }) => <At at={end} /> },
            {
              head: 'Release',
              cell: ({ model, version }) =>
                model && version ? <ReleaseLink of={{ model, version }} /> : '–',
            },
            { head: 'Inferences', number: true, cell: ({ inferences }) => count(inferences) },
            { head: 'Requests', number: true, wide: true, cell: ({ requests }) => count(requests) },
            { head: 'Dropped', number: true, wide: true, cell: ({ dropped }) => count(dropped) },
            { head: 'Errors', number: true, cell: ({ errors }) => count(errors) },
            { head: 'Anomalies', number: true, cell: ({ anomalies }) => count(anomalies) },
            { head: 'p95', number: true, cell: p95Text },
            { head: 'Above idle', number: true, cell: (window) => joules(joulesOf(window)) },
            { head: 'Sequence', number: true, wide: true, cell: ({ seq }) => number(seq) },
          ]}
        />
      </details>
    </>
  )
}

function Figure(props: {
  title: string
  now: string
  at: readonly number[]
  values: readonly (number | null)[]
}) {
  return (
    <figure className="chart-box">
      <figcaption>
        <span>{props.title}</span> <strong>{props.now}</strong>
      </figcaption>
      <Suspense fallback={<div className="chart" />}>
        <Chart title={props.title} at={props.at} values={props.values} />
      </Suspense>
    </figure>
  )
}
