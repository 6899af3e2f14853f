/** What the hub tells of a rollout, and how it reads in a terminal. */
type Given = { user: { id: string; name: string }; wave: string | null; at: string; reason: string }
export type Rollout = {
  id: string
  model: string
  version: string
  slot: string
  phase: string
  sentence: string
  allowedActions: string[]
  /** What is asked of approvers now; null: nothing. */
  approval: {
    wave: string | null
    sha256: string
    needed: number
    missing: number
    given: Given[]
    couldApprove: { id: string; name: string }[]
    allowedDeeds: string[]
  } | null
  waves: {
    name: string
    state: string
    counts: Record<string, number>
    gates: { name: string; state: string; sentence: string }[]
  }[]
}
export type RolloutDevice = {
  deviceId: string
  wave: number
  state: string
  code?: string | null
  detail?: string | null
}

export const ended = ['completed', 'aborted', 'rolled_back']

const waveMarks: Record<string, string> = {
  passed: '✔',
  failed: '✖',
  held: '॥',
  soaking: '◌',
  judging: '◌',
  open: '◌',
  awaiting_approval: '॥',
  pending: '•',
}

export function words(rollout: Rollout, devices: RolloutDevice[]): string {
  const lines = [`${rollout.model}@${rollout.version} → ${rollout.slot}   ${rollout.phase}`, rollout.sentence]
  rollout.waves.forEach((wave, i) => {
    const counts = Object.entries(wave.counts)
      .filter(([, count]) => count > 0)
      .map(([state, count]) => `${count} ${state}`)
    lines.push(
      `${waveMarks[wave.state] ?? '•'} wave ${i + 1} ${wave.name}: ${wave.state}  ${counts.join(', ')}`,
    )
    for (const gate of wave.gates) lines.push(`    ${gate.sentence}`)
    for (const device of devices.filter((d) => d.wave === i)) {
      lines.push(
        `    ${device.deviceId}  ${device.state}${device.code && device.code !== 'ok' ? `  ${device.code}: ${device.detail ?? ''}` : ''}`,
      )
    }
  })
  lines.push(...approvalWords(rollout))
  const deeds = [...(rollout.approval?.allowedDeeds ?? []), ...rollout.allowedActions]
  const [deed, ...others] = deeds
  if (deed !== undefined && !ended.includes(rollout.phase)) {
    const or = others.length > 0 ? `   (or ${others.join(', ')})` : ''
    lines.push(`Next: godwit rollout ${deed} ${rollout.id} -m "why"${or}`)
  }
  return lines.join('\n')
}

function approvalWords({ approval }: Rollout): string[] {
  if (!approval) return []
  const { wave, sha256, needed, given, couldApprove, missing } = approval
  const what = wave === null ? 'the rollout' : `wave ${wave}`
  const names = couldApprove.map(({ name }) => name).join(', ') || 'nobody'
  return [
    `approvals of ${what}: ${given.length} of ${needed}${missing > 0 ? `; could be given by ${names}` : ''}`,
    `    SHA-256 ${sha256}`,
    ...given.map(({ user, at, reason }) => `    ${user.name}  ${at}  ${reason}`),
  ]
}
