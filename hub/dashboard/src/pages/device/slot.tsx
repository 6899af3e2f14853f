import type { Choice, Device, Trial } from '../../api.ts'
import { Digest } from '../../parts/digest.tsx'
import { Section } from '../../parts/page.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { State } from '../../parts/state.tsx'
import { type Column, Facts, Table } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import type { SlotView } from '../../view/device.ts'
import { bytes, joules, micros, spaced } from '../../view/format.ts'

/** What serves in one slot, what it fell back to, and what the last deployment came to. */
export function SlotCard({
  slot: { slot, report, active, goal, differs },
  device,
}: {
  slot: SlotView
  device: Device
}) {
  return (
    <Section title={slot === 'default' ? 'Model' : `Model in slot ${slot}`}>
      <Facts
        of={[
          ['Active', active ? <ReleaseLink key="active" of={active} /> : 'none'],
          ['Since', <Ago key="since" at={active?.since} />],
          ['Variant', active?.variant],
          ['Runs on', active?.executionProvider],
          ['Why this one', active?.choice ? <Why key="why" choice={active.choice} /> : undefined],
          ['Loaded file', <Digest key="loaded" of={active?.loadedDigest} what="digest of the loaded file" />],
          ['Proof', <Digest key="proof" of={active?.proof} what="proof" />],
          [
            'Last known good',
            report?.lastKnownGood ? <ReleaseLink key="lkg" of={report.lastKnownGood} /> : 'none',
          ],
          ['The hub wants', goal ? <Wanted key="goal" goal={goal} differs={differs} /> : 'nothing'],
          ['Last deployment', report ? <State key="phase" of={report.phase} /> : undefined],
          ...(report?.code && report.code !== 'ok'
            ? ([['Reason', <Reason key="reason" report={report} />]] as const)
            : []),
          ...(report?.detail && !report.code ? ([['Held up', report.detail]] as const) : []),
        ]}
      />
      {active?.choice?.trials && active.choice.trials.length > 0 && <Trials of={active.choice.trials} />}
      {device.report?.quarantine && device.report.quarantine.length > 0 && (
        <p className="muted">
          {device.report.quarantine.length} release{device.report.quarantine.length === 1 ? '' : 's'} in
          quarantine: refused or rolled back here, and not tried again unless forced.
        </p>
      )}
    </Section>
  )
}

/** The device's own words, with its figures in them. */
function Why({ choice: { why, at } }: { choice: Choice }) {
  return (
    <>
      {why}
      <span className="detail block">
        measured <Ago at={at} />
      </span>
    </>
  )
}

const trialColumns: Column<Trial>[] = [
  { head: 'Variant', cell: ({ variant }) => variant },
  { head: 'On', cell: ({ executionProvider, nodes }) => `${executionProvider}${split(nodes)}` },
  { head: 'Verdict', cell: ({ code, detail }) => <span title={detail ?? ''}>{spaced(code)}</span> },
  { head: 'Median', cell: ({ p50Micros }) => micros(p50Micros), number: true },
  { head: '95 %', cell: ({ p95Micros }) => micros(p95Micros), number: true },
  { head: 'CPU', cell: ({ cpuMicros }) => micros(cpuMicros), number: true, wide: true },
  { head: 'Memory', cell: ({ memoryBytes }) => bytes(memoryBytes), number: true },
  { head: 'Energy', cell: energyOf, number: true, wide: true },
]

function Trials({ of }: { of: readonly Trial[] }) {
  return (
    <Table
      caption="Variants tried on this device"
      columns={trialColumns}
      rows={of}
      keyOf={({ variant, executionProvider }) => `${variant} ${executionProvider}`}
      empty="none"
    />
  )
}

/** A graph that an accelerator took only a part of. */
function split(nodes: Trial['nodes']): string {
  const shares = Object.entries(nodes ?? {})
  return shares.length > 1 ? ` (${shares.map(([name, count]) => `${count} nodes ${name}`).join(', ')})` : ''
}

function energyOf({ energyMicrojoules, energyLabel }: Trial): string {
  return typeof energyMicrojoules === 'number'
    ? `${joules(energyMicrojoules / 1e6)} ${energyLabel ?? ''}`
    : 'not known'
}

function Wanted({ goal, differs }: { goal: NonNullable<SlotView['goal']>; differs: boolean }) {
  return (
    <>
      <ReleaseLink of={goal} />{' '}
      {differs ? (
        <State sign={{ tone: 'warn', icon: 'warn', word: 'not running' }} />
      ) : (
        <State of="ok">running</State>
      )}
    </>
  )
}

function Reason({ report }: { report: NonNullable<SlotView['report']> }) {
  return (
    <>
      <strong>{spaced(report.code)}</strong>
      {report.target && (
        <>
          {' '}
          of <ReleaseLink of={report.target} />
        </>
      )}
      {report.detail && <span className="detail block">{report.detail}</span>}
    </>
  )
}
