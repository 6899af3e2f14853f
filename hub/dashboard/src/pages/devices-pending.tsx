import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, may, type PendingDevice } from '../api.ts'
import { Field, Form } from '../parts/form.tsx'
import { Section } from '../parts/page.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { Ago } from '../parts/time.tsx'
import { ask } from '../queries.ts'

/** Nothing when nobody waits, as on most days. */
export function PendingDevices() {
  const client = useQueryClient()
  const session = useQuery(ask.session)
  const pending = useQuery(ask.pendingDevices)
  const [chosen, setChosen] = useState<PendingDevice>()
  const items = pending.data?.items ?? []
  if (items.length === 0) return null
  const renew = async () => {
    setChosen(undefined)
    await client.invalidateQueries({ queryKey: ask.pendingDevices.queryKey })
  }
  const columns: readonly Column<PendingDevice>[] = [
    { head: 'Fingerprint', cell: ({ fingerprint }) => <code>{fingerprint}</code> },
    { head: 'Wants to be', wide: true, cell: ({ wantedId }) => wantedId ?? '–' },
    { head: 'From', wide: true, cell: ({ address }) => address ?? '–' },
    {
      head: 'Asked',
      cell: ({ lastAt, rejectedAt }) =>
        rejectedAt ? (
          <>
            turned away <Ago at={rejectedAt} />
          </>
        ) : (
          <Ago at={lastAt} />
        ),
    },
    {
      head: '',
      cell: (device) =>
        may(session.data, 'operator') && (
          <span className="buttons">
            <button type="button" onClick={() => setChosen(device)}>
              Let in…
            </button>
            {!device.rejectedAt && (
              <button type="button" onClick={() => void api.rejectDevice(device.fingerprint).then(renew)}>
                Reject
              </button>
            )}
          </span>
        ),
    },
  ]
  return (
    <Section title="Waiting to be let in">
      <p className="muted">
        Compare the fingerprint with the one that <code>godwit-agent identity</code> shows on the device:
        whoever is let in here gets directives and sends telemetry under that name.
      </p>
      <Table
        caption="Devices that wait"
        columns={columns}
        rows={items}
        keyOf={({ fingerprint }) => fingerprint}
        empty="Nobody waits."
      />
      {chosen && <LetIn key={chosen.fingerprint} device={chosen} onDone={renew} />}
    </Section>
  )
}

function LetIn({ device, onDone }: { device: PendingDevice; onDone: () => Promise<void> }) {
  const [name, setName] = useState(device.wantedId ?? '')
  const [labels, setLabels] = useState('')
  return (
    <Form
      action="The fingerprints are the same: let it in"
      onSubmit={async () => {
        await api.approveDevice(device.fingerprint, name.trim(), labelsIn(labels))
        await onDone()
      }}
    >
      <Field
        label="Name"
        value={name}
        onChange={setName}
        hint={`For the device with ${device.fingerprint}; the hub makes one up if it is empty.`}
      />
      <Field
        label="Labels"
        value={labels}
        onChange={setLabels}
        hint="Such as line=3 site=hall; may stay empty."
      />
    </Form>
  )
}

/** Words without `=` say nothing; the hub judges the rest. */
function labelsIn(text: string): Record<string, string> {
  const pairs = text.split(/[\s,]+/).map((word) => word.split('=', 2))
  return Object.fromEntries(pairs.filter(([name, value]) => name && value !== undefined))
}
