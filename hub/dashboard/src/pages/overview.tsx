import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import type { Attention, Overview } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { EventTable } from '../parts/event-table.tsx'
import { Page, Section } from '../parts/page.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { ask } from '../queries.ts'
import { plural } from '../view/format.ts'
import { toneOfSeverity } from '../view/words.ts'
import { TelemetryFacts, VersionsInTheField } from './overview/field.tsx'
import { FirstSteps } from './overview/first-steps.tsx'
import { DeviceTile, DriftTile, EnergyTile, RolloutTile } from './overview/tiles.tsx'

/** Five seconds: is anything wrong, is anything moving, what does it cost. */
export function OverviewPage() {
  const overview = useQuery(ask.overview)
  return (
    <Page title="Overview" verdict={overview.data && <WhatNeedsYou overview={overview.data} />}>
      <Answer to={overview}>{(data) => <Fleet overview={data} />}</Answer>
    </Page>
  )
}

function Fleet({ overview }: { overview: Overview }) {
  const events = useQuery(ask.events({}, 8))
  return (
    <>
      <FirstSteps devices={overview.devices.total} />
      <div className="tiles">
        <DeviceTile devices={overview.devices} />
        <RolloutTile />
        <DriftTile />
        <EnergyTile energy={overview.energy} />
      </div>
      <div className="columns">
        <Section title="Versions in the field">
          <VersionsInTheField overview={overview} />
        </Section>
        <Section title="Telemetry">
          <TelemetryFacts telemetry={overview.telemetry} />
        </Section>
      </div>
      <Section title="Recent events">
        <Answer to={events}>{(page) => <EventTable caption="Recent events" events={page.items} />}</Answer>
      </Section>
    </>
  )
}

function WhatNeedsYou({ overview }: { overview: Overview }) {
  const { attention, devices } = overview
  if (attention.length > 0) {
    const worst = attention.some(({ severity }) => toneOfSeverity(severity) === 'bad') ? 'bad' : 'warn'
    return (
      <div className={`attention tone-${worst}`}>
        <h2>{attention.length === 1 ? '1 thing needs you' : `${attention.length} things need you`}</h2>
        <ul>
          {attention.map((item) => (
            <li key={`${item.link} ${item.text}`}>
              <AttentionItem item={item} />
            </li>
          ))}
        </ul>
      </div>
    )
  }
  if (devices.total === 0)
    return <Verdict tone="waiting">No devices yet: the steps below connect the first one.</Verdict>
  const { online, sleeping } = devices
  if (typeof online !== 'number')
    return <Verdict tone="ok">{`All quiet: ${plural(devices.total, 'device')}`}</Verdict>
  const inTime = online + (sleeping ?? 0)
  return inTime >= devices.total ? (
    <Verdict tone="ok">{`All quiet: ${inTime} of ${devices.total} devices reported in time`}</Verdict>
  ) : (
    <Verdict tone="warn">{`${devices.total - inTime} of ${plural(devices.total, 'device')} cannot be reached; nothing else needs you`}</Verdict>
  )
}

const icons = { ok: 'ok', busy: 'busy', warn: 'warn', bad: 'bad', waiting: 'dot' } as const
function AttentionItem({ item }: { item: Attention }) {
  const tone = toneOfSeverity(item.severity)
  const sign = { tone, icon: icons[tone], word: item.text }
  const place = ownPlace(item.link)
  return place ? (
    <Link to={place}>
      <State sign={sign} />
    </Link>
  ) : (
    <State sign={sign} />
  )
}

/** A page of this dashboard, or nothing: the text beside it may quote a device, and so may the link. */
function ownPlace(link: string | null | undefined): string | undefined {
  return link && /^\/(?![/\\])/.test(link) ? link : undefined
}
