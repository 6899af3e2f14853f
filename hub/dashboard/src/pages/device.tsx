import { useQuery } from '@tanstack/react-query'
import { useParams } from 'react-router'
import type { Device } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { EventTable } from '../parts/event-table.tsx'
import { Labels } from '../parts/labels.tsx'
import { LastSeen } from '../parts/last-seen.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Verdict } from '../parts/state.tsx'
import { Facts } from '../parts/table.tsx'
import { At } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { sentenceOf, signOfDevice, slotsOf, verdictsOf } from '../view/device.ts'
import { bytes, duration, unknown } from '../view/format.ts'
import { Completeness } from './device/completeness.tsx'
import { DeviceDrift } from './device/drift.tsx'
import { DeviceEnergy } from './device/energy.tsx'
import { SlotCard } from './device/slot.tsx'
import { WindowCharts } from './device/window-charts.tsx'

export function DevicePage() {
  const id = useParams()['id']!
  const device = useQuery(ask.device(id))
  return (
    <Page
      title={id}
      above={{ to: '/devices', text: 'Devices' }}
      verdict={
        device.data && <Verdict tone={signOfDevice(device.data).tone}>{sentenceOf(device.data)}</Verdict>
      }
    >
      <Answer to={device}>{(data) => <Whole device={data} />}</Answer>
    </Page>
  )
}

function Whole({ device }: { device: Device }) {
  const of = { deviceId: device.id }
  // A sensor that is held to a kettle would push out what the device says of itself.
  const events = useQuery(ask.events({ ...of, except: 'anomaly' }, 20))
  const anomalies = useQuery(ask.events({ ...of, kind: 'anomaly' }, 10))
  const slots = slotsOf(device)
  return (
    <>
      <div className="columns">
        {slots.length > 0 ? (
          slots.map((slot) => <SlotCard key={slot.slot} slot={slot} device={device} />)
        ) : (
          <Section title="Model">
            <p className="empty">No model yet, and none wanted.</p>
          </Section>
        )}
        <Section title="This device">
          <About device={device} />
        </Section>
      </div>
      <Section title="Now">
        <WindowCharts id={device.id} />
      </Section>
      <Section title="Drift">
        <DeviceDrift verdicts={verdictsOf(device)} />
      </Section>
      <div className="columns">
        <Section title="Telemetry completeness">
          <Completeness id={device.id} />
        </Section>
        <Section title="Energy & carbon">
          <DeviceEnergy energy={device.energy} />
        </Section>
      </div>
      <Section title="Events">
        <Answer to={events}>
          {(page) => <EventTable caption={`Events of ${device.id}`} events={page.items} ofOneDevice />}
        </Answer>
      </Section>
      <Section title="Anomalies in its readings">
        <Answer to={anomalies}>
          {(page) => <EventTable caption={`Anomalies on ${device.id}`} events={page.items} ofOneDevice />}
        </Answer>
      </Section>
    </>
  )
}

function About({ device }: { device: Device }) {
  const { hardware, runtime, agentVersion } = device.birth ?? {}
  const { free, clock, directiveVersion } = device.report ?? {}
  const skew = clock?.skewMs
  return (
    <Facts
      of={[
        ['Labels', <Labels key="labels" of={device.labels ?? {}} />],
        ['Last seen', <LastSeen key="seen" device={device} />],
        ['Enrolled', <At key="enrolled" at={device.enrolledAt} />],
        ['Key fingerprint', <code key="fingerprint">{device.fingerprint ?? unknown}</code>],
        ['Directive', `hub ${device.directiveVersion ?? unknown}, device ${directiveVersion ?? unknown}`],
        [
          'Clock',
          typeof skew === 'number'
            ? Math.abs(skew) < 1000
              ? 'within a second'
              : `${skew < 0 ? 'behind' : 'ahead'} by ${duration(Math.abs(skew))}`
            : 'not compared with the hub yet',
        ],
        ['Hardware', [hardware?.model, hardware?.arch, hardware?.os].filter(Boolean).join(', ') || unknown],
        ['Memory free', bytes(free?.memoryBytes)],
        ['Disk free', bytes(free?.diskBytes)],
        ['Runtime', [runtime?.name, runtime?.version].filter(Boolean).join(' ') || unknown],
        ['Agent', agentVersion ?? unknown],
      ]}
    />
  )
}
