import type { DriftVerdict } from '../../api.ts'
import { Evidence } from '../../parts/evidence.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { Table } from '../../parts/table.tsx'
import { Ago } from '../../parts/time.tsx'
import { byTime, evidenceText } from '../../view/drift.ts'
import { count, percent } from '../../view/format.ts'

export function DeviceDrift({ verdicts }: { verdicts: readonly DriftVerdict[] }) {
  if (verdicts.length === 0) return <p className="empty">No drift windows yet.</p>
  const { now, before } = byTime(verdicts)
  const keyOf = ({ slot, releaseDigest, version }: DriftVerdict) => `${slot} ${releaseDigest} ${version}`
  return (
    <>
      {now.map((verdict) => (
        <OfRelease key={keyOf(verdict)} verdict={verdict} />
      ))}
      {before.length > 0 && (
        <details>
          <summary>Releases that ran here before</summary>
          {before.map((verdict) => (
            <OfRelease key={keyOf(verdict)} verdict={verdict} />
          ))}
        </details>
      )}
    </>
  )
}

function OfRelease({ verdict }: { verdict: DriftVerdict }) {
  const { model, version, features, threshold, windows, windowsNeeded, falseAlarmAtMost, updatedAt } = verdict
  const bound =
    typeof falseAlarmAtMost === 'number'
      ? `A device like the reference ever alarms with a chance of at most ${percent(falseAlarmAtMost)}.`
      : 'No bound on false alarms: a feature is not certified.'
  return (
    <>
      <Table
        caption={`Drift under ${model}@${version}`}
        rows={features ?? []}
        keyOf={({ feature }) => feature}
        empty="No features are watched."
        columns={[
          { head: 'Feature', cell: ({ feature }) => feature },
          {
            head: 'Evidence of limit',
            cell: ({ state, evidence }) => (
              <Evidence state={state} evidence={evidence} threshold={threshold} />
            ),
          },
          { head: 'Highest', number: true, cell: ({ peak }) => evidenceText(peak) },
          { head: 'Moves in', cell: ({ lead }) => (lead ? `${lead.statistic} ${lead.direction}` : '–') },
          {
            head: 'Certified',
            wide: true,
            cell: ({ certified }) => (certified === true ? 'yes' : certified === false ? 'no' : '–'),
          },
        ]}
      />
      <p className="muted">
        {model && version && (
          <>
            <ReleaseLink of={{ model, version }} />:{' '}
          </>
        )}
        {count(windows)} windows judged, {count(windowsNeeded)} needed before silence counts as quiet. {bound}{' '}
        Updated <Ago at={updatedAt} />.
      </p>
    </>
  )
}
