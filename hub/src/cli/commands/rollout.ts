import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parse as parseYaml } from 'yaml'
import type { HubClient } from '../client.ts'
import type { Noun, Shell } from '../command.ts'
import { CliError } from '../exit.ts'
import { numberFrom } from '../number.ts'
import { versionOf } from '../version-name.ts'
import { ended, type Rollout, type RolloutDevice, words } from './rollout-words.ts'

export const rolloutNoun: Noun = (program, run) => {
  const rollout = program.command('rollout').description('moves a release through waves of devices')
  rollout
    .command('create')
    .description('bring a version to devices, wave by wave')
    .argument('<model@version>')
    .option('--to <selector>', 'which devices; all without it', '')
    .option('--slot <slot>', 'which slot', 'default')
    .option('-f, --plan <file>', 'waves, gates and what happens on failure, as YAML')
    .action(
      run(async (shell, what: string, options: { to: string; slot: string; plan?: string }) => {
        const made = await shell.hub().send<Rollout>('POST', '/api/v1/rollouts', {
          ...versionOf(what),
          slot: options.slot,
          ...(options.to ? { selector: options.to } : {}),
          ...(options.plan ? { plan: readPlan(options.plan) } : {}),
        })
        shell.out.print(made, () => `${made.id}\n${made.sentence}\nNext: godwit rollout watch ${made.id}`)
      }),
    )
  rollout
    .command('list')
    .description('all rollouts')
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<Rollout>('/api/v1/rollouts')
        shell.out.list(
          all,
          ['ROLLOUT', 'RELEASE', 'PHASE', 'NOW'],
          (r) => [r.id, `${r.model}@${r.version}`, r.phase, r.sentence],
          'no rollouts',
        )
      }),
    )
  rollout
    .command('show')
    .description('where a rollout stands, and why')
    .argument('<id>')
    .action(
      run(async (shell, id: string) => {
        const [found, devices] = await look(shell.hub(), id)
        shell.out.print({ ...found, devices }, () => words(found, devices))
      }),
    )
  rollout
    .command('watch')
    .description('show every change until the rollout has ended or waits for a person')
    .argument('<id>')
    .action(
      run(async (shell, id: string) => {
        await follow(shell, id, (found, devices) =>
          shell.out.print({ ...found, devices }, () => words(found, devices)),
        )
      }),
    )
  rollout
    .command('wait')
    .description('wait silently; exit 0 when completed, 7 when it stopped otherwise, 8 when it took too long')
    .argument('<id>')
    .option('--timeout <minutes>', 'give up after so many minutes', numberFrom(0, 525_600), 60)
    .action(
      run(async (shell, id: string, options: { timeout: number }) => {
        const until = shell.now() + options.timeout * 60_000
        // An approval may come while a script waits; only a pause is a stop.
        const last = await follow(shell, id, () => {}, { until, isOver: isStopped })
        shell.out.print(last, () => last.sentence)
        if (last.phase !== 'completed')
          throw new CliError('rolloutDegraded', 'rollout_degraded', last.sentence)
      }),
    )
  for (const [verb, says] of [
    ['start', 'start a draft, or a scheduled rollout before its time'],
    ['pause', 'give no further device the release'],
    ['resume', 'go on after a pause'],
    ['abort', 'stop for good; devices keep what they run'],
    ['rollback', 'give every device of the rollout its previous release back'],
    ['retry', 'try the failed devices again whose result code allows it'],
  ] as const) {
    rollout
      .command(verb)
      .description(says)
      .argument('<id>')
      .requiredOption('-m, --reason <text>', 'kept in the timeline')
      .action(
        run(async (shell, id: string, options: { reason: string }) => {
          const made = await shell
            .hub()
            .send<Rollout>('POST', `/api/v1/rollouts/${encodeURIComponent(id)}/${verb}`, options)
          shell.out.print(made, () => made.sentence)
        }),
      )
  }
  for (const [verb, says] of [
    ['approve', 'say yes, as a user with the role approver who has not created it'],
    ['reject', 'say no: the rollout ends here'],
    ['withdraw', 'take your approval back before the start'],
  ] as const) {
    rollout
      .command(verb)
      .description(says)
      .argument('<id>')
      .requiredOption('-m, --reason <text>', 'kept in the timeline and in the audit')
      .option('--sha256 <hash>', 'what you looked at, from `rollout show`; refused when it is another by now')
      .action(
        run(async (shell, id: string, { reason, sha256 }: { reason: string; sha256?: string }) => {
          const path = `/api/v1/rollouts/${encodeURIComponent(id)}`
          const hash = sha256 ?? (verb === 'approve' ? await shown(shell, path) : undefined)
          const body = { reason, ...(hash !== undefined && { sha256: hash }) }
          const made = await shell.hub().send<Rollout>('POST', `${path}/${verb}`, body)
          shell.out.print(made, () => made.sentence)
        }),
      )
  }
}

/** Says what an approval will be for, and answers its hash. */
async function shown(shell: Shell, path: string): Promise<string | undefined> {
  const found = await shell.hub().get<Rollout>(path)
  const { approval, model, version, slot, id } = found
  // The hub says why there is nothing to approve.
  if (!approval) return '0'.repeat(64)
  const what = approval.wave === null ? `rollout ${id}` : `wave ${approval.wave} of rollout ${id}`
  shell.out.note(`approves ${what}: ${model}@${version} → ${slot}, SHA-256 ${approval.sha256}`)
  return approval.sha256
}

async function look(hub: HubClient, id: string): Promise<[Rollout, RolloutDevice[]]> {
  const path = `/api/v1/rollouts/${encodeURIComponent(id)}`
  return [await hub.get<Rollout>(path), await hub.list<RolloutDevice>(`${path}/devices`)]
}

const isStopped = ({ phase }: Rollout) => ended.includes(phase) || phase === 'paused'
const needsPerson = (rollout: Rollout) => isStopped(rollout) || (rollout.approval?.missing ?? 0) > 0

async function follow(
  shell: Shell,
  id: string,
  show: (rollout: Rollout, devices: RolloutDevice[]) => void,
  { until = Number.POSITIVE_INFINITY, isOver = needsPerson } = {},
): Promise<Rollout> {
  let shown = ''
  for (;;) {
    const [found, devices] = await look(shell.hub(), id)
    const now = words(found, devices)
    if (now !== shown) show(found, devices)
    shown = now
    if (isOver(found)) return found
    if (shell.now() > until)
      throw new CliError('timeout', 'timeout', `${id} is still ${found.phase}: ${found.sentence}`)
    await delay(1_000, undefined, { signal: shell.signal })
  }
}

function readPlan(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new CliError('usage', 'plan_unreadable', `${path}: ${(cause as Error).message}`)
  }
}
