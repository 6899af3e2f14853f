import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useSearchParams } from 'react-router'
import type { Device } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Labels } from '../parts/labels.tsx'
import { LastSeen } from '../parts/last-seen.tsx'
import { Page } from '../parts/page.tsx'
import { DeviceLink, ReleaseLink } from '../parts/release.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { ask } from '../queries.ts'
import { signOfDevice, slotsOf, verdictsOf } from '../view/device.ts'
import { alarmsIn, byTime } from '../view/drift.ts'
import { plural, unknown } from '../view/format.ts'
import { PendingDevices } from './devices-pending.tsx'

export function DevicesPage() {
  const [parameters, setParameters] = useSearchParams()
  const select = parameters.get('select') ?? ''
  const devices = useInfiniteQuery(ask.devices(select))
  const overview = useQuery(ask.overview)
  const rows = devices.data?.pages.flatMap(({ items }) => items) ?? []
  return (
    <Page
      title="Devices"
      verdict={
        devices.data && <ListVerdict rows={rows} select={select} total={overview.data?.devices.total} />
      }
    >
      <PendingDevices />
      <Filter key={select} select={select} onChange={(next) => setParameters(next ? { select: next } : {})} />
      <div className="section">
        <Answer to={devices}>
          {() => (
            <>
              <Table
                caption="Devices"
                columns={columns}
                rows={rows}
                keyOf={({ id }) => id}
                empty={select ? `No device fits ${select}.` : 'No devices yet: godwit device add NAME'}
              />
              {devices.hasNextPage && (
                <button
                  type="button"
                  disabled={devices.isFetchingNextPage}
                  onClick={() => void devices.fetchNextPage()}
                >
                  Show more
                </button>
              )}
            </>
          )}
        </Answer>
      </div>
    </Page>
  )
}

function ListVerdict(props: { rows: readonly Device[]; select: string; total: number | undefined }) {
  const { rows, select, total } = props
  if (rows.length === 0) return null
  const trouble = rows.filter((device) => ['bad', 'warn'].includes(signOfDevice(device).tone)).length
  const behind = rows.filter((device) => slotsOf(device).some(({ differs }) => differs)).length
  const shown = `${plural(rows.length, 'device')}${total !== undefined && !select && total > rows.length ? ` of ${total}` : ''}`
  const parts = [
    trouble > 0 ? `${trouble} with trouble` : 'none in trouble',
    behind > 0 ? `${behind} not yet running what the hub wants` : 'all run what the hub wants',
  ]
  return (
    <Verdict
      tone={trouble > 0 ? 'warn' : behind > 0 ? 'busy' : 'ok'}
    >{`${shown}: ${parts.join(', ')}.`}</Verdict>
  )
}

function Filter({ select, onChange }: { select: string; onChange: (select: string) => void }) {
  const [text, setText] = useState(select)
  return (
    <search>
      <form
        className="filter"
        onSubmit={(event) => {
          event.preventDefault()
          onChange(text.trim())
        }}
      >
        <label htmlFor="select">Select by label</label>
        <input
          id="select"
          value={text}
          placeholder="placement=outdoor, id in (a,b)"
          autoCapitalize="off"
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setText(event.target.value)}
        />
        <button type="submit">Show</button>
        {select && (
          <button type="button" onClick={() => onChange('')}>
            Show all
          </button>
        )}
      </form>
    </search>
  )
}

const columns: readonly Column<Device>[] = [
  { head: 'Device', cell: ({ id }) => <DeviceLink id={id} /> },
  { head: 'Status', cell: (device) => <State sign={signOfDevice(device)} /> },
  { head: 'Runs', cell: (device) => <Runs device={device} /> },
  { head: 'Drift', cell: (device) => <DriftNow device={device} /> },
  { head: 'Last seen', cell: (device) => <LastSeen device={device} /> },
  { head: 'Labels', wide: true, cell: ({ labels }) => <Labels of={labels ?? {}} /> },
  { head: 'Hardware', wide: true, cell: ({ birth }) => hardwareOf(birth) },
]

function Runs({ device }: { device: Device }) {
  const slots = slotsOf(device)
  if (slots.length === 0) return <span className="muted">no model</span>
  return slots.map(({ slot, active, goal, differs }) => (
    <div key={slot}>
      {slots.length > 1 && <span className="muted">{slot} </span>}
      {active ? <ReleaseLink of={active} /> : <span className="muted">no model</span>}
      {differs && goal && (
        <>
          {' → '}
          <ReleaseLink of={goal} />
        </>
      )}
    </div>
  ))
}

/** Of what the device runs now; older releases' verdicts are on its page. */
function DriftNow({ device }: { device: Device }) {
  const { now } = byTime(verdictsOf(device))
  const worst = alarmsIn(now)[0] ?? now[0]
  return worst ? <State of={worst.state} /> : <span className="muted">{unknown}</span>
}

function hardwareOf(birth: Device['birth']): string {
  const { model, arch, cores } = birth?.hardware ?? {}
  return [model, arch, cores && plural(cores, 'core')].filter(Boolean).join(', ') || unknown
}
