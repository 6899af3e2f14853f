import { useQuery } from '@tanstack/react-query'
import { useParams } from 'react-router'
import type { Rollout, RolloutDevice } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Page, Section } from '../parts/page.tsx'
import { DeviceLink, ReleaseLink } from '../parts/release.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { TallyBar } from '../parts/tally.tsx'
import { Ago, At } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { spaced } from '../view/format.ts'
import { countsOf } from '../view/rollout.ts'
import { signOf } from '../view/words.ts'
import { Actions } from './rollout/actions.tsx'
import { Approvals } from './rollout/approvals.tsx'
import { Gates } from './rollout/gates.tsx'
import { Timeline } from './rollout/timeline.tsx'
import { Waves } from './rollout/waves.tsx'

export function RolloutPage() {
  const id = useParams()['id']!
  const rollout = useQuery(ask.rollout(id))
  const { data } = rollout
  return (
    <Page
      title={data ? `${data.model}@${data.version}` : 'Rollout'}
      above={{ to: '/rollouts', text: 'Rollouts' }}
      side={data && <State of={data.phase} />}
      verdict={
        data && (
          <Verdict tone={signOf(data.phase).tone}>
            {data.sentence ?? `This rollout is ${spaced(data.phase)}.`}
          </Verdict>
        )
      }
    >
      <Answer to={rollout}>{(loaded) => <Whole rollout={loaded} />}</Answer>
    </Page>
  )
}

function Whole({ rollout }: { rollout: Rollout }) {
  const devices = useQuery(ask.rolloutDevices(rollout.id))
  const { waves } = rollout
  return (
    <>
      <Actions rollout={rollout} />
      <Approvals rollout={rollout} />
      <Waves waves={waves ?? []} />
      <TallyBar of={countsOf(waves)} />
      <Gates waves={waves ?? []} />
      <Section title="Devices">
        <Answer to={devices}>
          {({ items }) => (
            <Table
              caption="Devices of this rollout"
              columns={deviceColumns(rollout)}
              rows={[...items].sort(worstFirst)}
              keyOf={({ deviceId }) => deviceId}
              empty="No device has had its turn yet."
            />
          )}
        </Answer>
      </Section>
      <Section title="Timeline">
        <Timeline id={rollout.id} />
      </Section>
      <details>
        <summary>The plan as it was given</summary>
        <p>
          Slot <code>{rollout.slot ?? 'default'}</code>, devices <code>{rollout.selector || 'all'}</code>,
          release <ReleaseLink of={rollout} />, by {rollout.createdBy ?? 'somebody'},{' '}
          <At at={rollout.createdAt} />
        </p>
        <pre className="plan">{JSON.stringify(rollout.plan ?? null, undefined, 2)}</pre>
      </details>
    </>
  )
}

function deviceColumns({ waves }: Rollout): Column<RolloutDevice>[] {
  const waveName = (wave: RolloutDevice['wave']) =>
    typeof wave === 'number' ? (waves?.[wave]?.name ?? `wave ${wave + 1}`) : (wave ?? '–')
  return [
    { head: 'Device', cell: ({ deviceId }) => <DeviceLink id={deviceId} /> },
    { head: 'State', cell: ({ state }) => <State of={state} /> },
    { head: 'Wave', cell: ({ wave }) => waveName(wave) },
    { head: 'Code', cell: ({ code }) => (code ? <code>{code}</code> : '–') },
    { head: 'Detail', cell: ({ detail }) => <span className="detail">{detail ?? '–'}</span> },
    { head: 'Before', wide: true, cell: ({ previous }) => (previous ? <ReleaseLink of={previous} /> : '–') },
    { head: 'Updated', cell: ({ updatedAt }) => <Ago at={updatedAt} /> },
  ]
}

const urgency = ['bad', 'warn', 'busy', 'waiting', 'ok']
function worstFirst(a: RolloutDevice, b: RolloutDevice): number {
  const of = ({ state }: RolloutDevice) => urgency.indexOf(signOf(state).tone)
  return of(a) - of(b) || a.deviceId.localeCompare(b.deviceId, 'en', { numeric: true })
}
