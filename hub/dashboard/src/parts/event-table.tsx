import type { TelemetryEvent } from '../api.ts'
import { capital } from '../view/device.ts'
import { bytes, duration, joules, micros, number, spaced } from '../view/format.ts'
import { toneOfSeverity } from '../view/words.ts'
import { DeviceLink } from './release.tsx'
import { State } from './state.tsx'
import { type Column, Table } from './table.tsx'
import { At } from './time.tsx'

const columns: readonly Column<TelemetryEvent>[] = [
  { head: 'When', cell: ({ at }) => <At at={at} /> },
  { head: 'What', cell: (event) => <EventSign event={event} /> },
  { head: 'Device', cell: ({ deviceId }) => (deviceId ? <DeviceLink id={deviceId} /> : '–') },
  { head: 'Detail', cell: (event) => <span className="detail">{eventText(event)}</span> },
]

/** What devices said happened: anomalies, swaps, rollbacks. */
export function EventTable(props: {
  events: readonly TelemetryEvent[]
  caption: string
  ofOneDevice?: boolean
}) {
  return (
    <Table
      caption={props.caption}
      columns={props.ofOneDevice ? columns.filter(({ head }) => head !== 'Device') : columns}
      rows={props.events}
      keyOf={(event, index) =>
        event.seq ? `${event.deviceId}/${event.session}/${event.seq}` : `row ${index}`
      }
      empty={`${props.ofOneDevice ? 'This device has told of nothing' : 'No device has told of anything'} yet.`}
    />
  )
}

const icons = { ok: 'ok', busy: 'busy', warn: 'warn', bad: 'bad', waiting: 'dot' } as const
function EventSign({ event }: { event: TelemetryEvent }) {
  const tone = toneOfSeverity(event.severity)
  return <State sign={{ tone, icon: icons[tone], word: capital(spaced(event.kind)) }} />
}

/** An episode in a sentence; what else a device tells, as names and values. */
export function eventText({ kind, detail }: Pick<TelemetryEvent, 'kind' | 'detail'>): string {
  const { count, peak, threshold, firstPosition, lastPosition } = detail ?? {}
  if (kind !== 'anomaly' || typeof count !== 'number' || typeof peak !== 'number') return detailText(detail)
  const above = typeof threshold === 'number' ? ` above ${number(threshold)}` : ''
  const where =
    firstPosition === lastPosition ? `at ${firstPosition}` : `from ${firstPosition} to ${lastPosition}`
  return `${count} ${count === 1 ? 'reading' : 'readings'}${above}, peak ${number(peak)}, ${where}`
}

function detailText(detail: TelemetryEvent['detail']): string {
  return Object.entries(detail ?? {})
    .map(([key, value]) => (typeof value === 'number' ? figureText(key, value) : `${wordsOf(key)} ${value}`))
    .join(' · ')
}

/** Units stand last in names: `outageMs` 61000 is an outage of 1 min. */
function figureText(key: string, value: number): string {
  const unit = units.find(([ending]) => key.endsWith(ending))
  return unit
    ? `${wordsOf(key.slice(0, -unit[0].length))} ${unit[1](value)}`
    : `${wordsOf(key)} ${number(value)}`
}
const units = [
  ['Ms', duration],
  ['Micros', micros],
  ['Bytes', bytes],
  ['Joules', joules],
] as const

function wordsOf(key: string): string {
  return spaced(key.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase())
}
