import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type ApprovalDeed, type ApprovalQuestion, api, type GivenApproval, type Rollout } from '../../api.ts'
import { Digest } from '../../parts/digest.tsx'
import { Section } from '../../parts/page.tsx'
import { type Question, ReasonDialog } from '../../parts/reason-dialog.tsx'
import { ReleaseLink } from '../../parts/release.tsx'
import { type Column, Facts, Table } from '../../parts/table.tsx'
import { At } from '../../parts/time.tsx'
import { plural } from '../../view/format.ts'
import { approvalText, countsOf, totalOf } from '../../view/rollout.ts'

/** Who has said yes to what, what is missing, and the buttons for those who may say it. */
export function Approvals({ rollout }: { rollout: Rollout }) {
  const { approval, approvals } = rollout
  if (!approval && (approvals ?? []).length === 0) return null
  return (
    <Section title="Approval">
      {approval && <Asked rollout={rollout} approval={approval} />}
      <Table
        caption="Approvals"
        columns={columns}
        rows={approvals ?? []}
        keyOf={({ user, wave }) => `${user.id} ${wave ?? ''}`}
        empty="Nobody has approved it yet."
      />
      {approval && <Deeds rollout={rollout} approval={approval} />}
    </Section>
  )
}

const columns: readonly Column<GivenApproval>[] = [
  { head: 'Who', cell: ({ user }) => user.name },
  { head: 'When', cell: ({ at }) => <At at={at} /> },
  { head: 'Of', cell: ({ wave }) => (wave ? `wave ${wave}` : 'the whole rollout') },
  { head: 'Why', cell: ({ reason }) => <span className="detail">{reason || '–'}</span> },
  { head: 'SHA-256', wide: true, cell: ({ sha256 }) => <Digest of={sha256} what="hash" /> },
]

function Asked({ rollout, approval }: { rollout: Rollout; approval: ApprovalQuestion }) {
  const { wave, sha256 } = approval
  const waves = rollout.waves ?? []
  const devices = totalOf(countsOf(wave ? waves.filter(({ name }) => name === wave) : waves))
  return (
    <>
      <p>{approvalText(approval)}</p>
      <Facts
        of={[
          ['Release', <ReleaseLink key="release" of={rollout} />],
          ['Its digest', <Digest key="digest" of={rollout.releaseDigest} />],
          ['Slot', rollout.slot ?? 'default'],
          [
            'Devices',
            `${plural(devices, 'device')}${wave ? ` in wave ${wave}` : ` in ${plural(waves.length, 'wave')}`}`,
          ],
          ['SHA-256', <Digest key="hash" of={sha256} what="hash" />],
          [
            'Of this',
            <a key="bytes" href={api.approvalSubject(rollout.id, wave)}>
              release, slot, plan and devices as JSON
            </a>,
          ],
        ]}
      />
    </>
  )
}

const words: Record<ApprovalDeed, string> = {
  approve: 'Approve',
  reject: 'Reject',
  withdraw: 'Take approval back',
}

function Deeds({ rollout, approval }: { rollout: Rollout; approval: ApprovalQuestion }) {
  const client = useQueryClient()
  const [chosen, setChosen] = useState<{ deed: ApprovalDeed; sha256: string }>()
  const allowed = (Object.keys(words) as ApprovalDeed[]).filter((deed) =>
    approval.allowedDeeds.includes(deed),
  )
  if (allowed.length === 0 && !chosen)
    return (
      <p className="muted">Approving takes a user with the role approver who has not created the rollout.</p>
    )
  return (
    <section className="buttons actions" aria-label="Approval actions">
      {allowed.map((deed) => (
        <button
          key={deed}
          type="button"
          className={deed === 'approve' ? 'primary' : deed === 'reject' ? 'grave' : undefined}
          // What is on the page at this moment is what was looked at, whatever arrives while the dialog is open.
          onClick={() => setChosen({ deed, sha256: approval.sha256 })}
        >
          {words[deed]}…
        </button>
      ))}
      {chosen && (
        <ReasonDialog
          key={chosen.deed}
          question={questionFor(chosen.deed, rollout, approval)}
          onClose={() => setChosen(undefined)}
          onAnswer={async (reason) => {
            await api.decide(rollout.id, chosen.deed, reason, chosen.sha256)
            await client.invalidateQueries({ queryKey: ['rollout', rollout.id] })
          }}
        />
      )}
    </section>
  )
}

function questionFor(deed: ApprovalDeed, rollout: Rollout, { wave, missing }: ApprovalQuestion): Question {
  const name = `${rollout.model}@${rollout.version}`
  const what = wave ? `wave ${wave} of ${name}` : name
  const then =
    missing <= 1
      ? 'It goes on as soon as you have.'
      : `After you, ${plural(missing - 1, 'approval')} will be missing.`
  const says: Record<ApprovalDeed, string> = {
    approve: `You say yes to exactly what the hash names. ${then}`,
    reject:
      'The rollout ends here and cannot be resumed. Devices that run the new release keep it; nobody else gets it.',
    withdraw: 'Your approval counts no longer. You may give it again.',
  }
  return {
    title: `${words[deed]}: ${what}?`,
    consequence: says[deed],
    confirm: words[deed],
    grave: deed === 'reject',
  }
}
