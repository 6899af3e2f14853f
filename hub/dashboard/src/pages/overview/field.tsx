import type { Maybe, Overview } from '../../api.ts'
import { Bar } from '../../parts/bar.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { State } from '../../parts/state.tsx'
import { Facts, Table } from '../../parts/table.tsx'
import { count } from '../../view/format.ts'
import { useRunning } from '../running.ts'

/** What runs where. The hub's own count where it gives one; else counted from the first page of devices, and said so. */
export function VersionsInTheField({ overview }: { overview: Overview }) {
  const running = useRunning(!overview.versions)
  const rows = [...(overview.versions ?? running?.versions ?? [])].sort((a, b) => b.devices - a.devices)
  const most = Math.max(1, overview.devices.total)
  return (
    <>
      <Table
        caption="Versions in the field"
        rows={rows}
        keyOf={({ model, version }) => `${model}@${version}`}
        empty="No device runs a model yet."
        columns={[
          { head: 'Version', cell: (row) => <ReleaseLink of={row} /> },
          { head: 'Devices', number: true, cell: (row) => count(row.devices) },
          { head: 'Share', cell: (row) => <Bar share={row.devices / most} /> },
        ]}
      />
      {running?.isPart && <p className="muted">Counted on the first {running.looked} devices.</p>}
    </>
  )
}

export function TelemetryFacts({ telemetry }: { telemetry: Maybe<Overview['telemetry']> }) {
  const state = (n: Maybe<number>, bad: 'warn' | 'bad') =>
    typeof n !== 'number' ? (
      '–'
    ) : n === 0 ? (
      <State sign={{ tone: 'ok', icon: 'ok', word: 'none' }} />
    ) : (
      <State sign={{ tone: bad, icon: 'warn', word: count(n) }} />
    )
  return (
    <>
      <Facts
        of={[
          ['Windows stored', count(telemetry?.windows)],
          ['Events stored', count(telemetry?.events)],
          ['Missing', state(telemetry?.missing, 'warn')],
          ['Dropped by devices', state(telemetry?.dropped, 'bad')],
          ['Repeats not stored again', count(telemetry?.duplicates)],
        ]}
      />
      <p className="muted">
        Missing: numbered by a device, not here yet. Dropped: given up by a device whose disk budget was full.
        A repeat is stored once.
      </p>
    </>
  )
}
