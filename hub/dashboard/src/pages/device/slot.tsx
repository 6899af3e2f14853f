import type { Device } from '../../api.ts'
import { Digest } from '../../parts/digest.tsx'
import { Section } from '../../parts/page.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { State } from '../../parts/state.tsx'
import { Facts } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import type { SlotView } from '../../view/device.ts'
import { spaced } from '../../view/format.ts'

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
        ]}
      />
      {device.report?.quarantine && device.report.quarantine.length > 0 && (
        <p className="muted">
          {device.report.quarantine.length} release{device.report.quarantine.length === 1 ? '' : 's'} in
          quarantine: refused or rolled back here, and not tried again unless forced.
        </p>
      )}
    </Section>
  )
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
