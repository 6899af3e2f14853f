import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parse as parseYaml } from 'yaml'
import type { HubClient } from '../client.ts'
import type { Noun, Shell } from '../command.ts'
import { CliError } from '../exit.ts'
import { table } from '../output.ts'
import { versionOf } from './device.ts'

type Rollout = {
  id: string
  model: string
  version: string
  slot: string
  phase: string
  sentence: string
  allowedActions: string[]
  waves: {
    name: string
    state: string
    counts: Record<string, number>
    gates: { name: string; state: string; sentence: string }[]
  }[]
}
type RolloutDevice = {
  deviceId: string
  wave: number
  state: string
  code?: string | null
  detail?: string | null
}

const ended = ['completed', 'aborted', 'rolled_back']

export const rolloutNoun: Noun = (program, run) => {
  const rollout = program.command('rollout').description('moves a release through waves of devices')
  rollout
    .command('create')
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
  rollout.command('list').action(
    run(async (shell) => {
      const all = await shell.hub().list<Rollout>('/api/v1/rollouts')
      shell.out.print(all, () =>
        table(
          ['ROLLOUT', 'RELEASE', 'PHASE', 'NOW'],
          all.map((r) => [r.id, `${r.model}@${r.version}`, r.phase, r.sentence]),
          'no rollouts',
        ),
      )
    }),
  )
  rollout
    .command('show')
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
    .option('--timeout <minutes>', 'give up after so many minutes', '60')
    .action(
      run(async (shell, id: string, options: { timeout: string }) => {
        const last = await follow(shell, id, () => {}, shell.now() + Number(options.timeout) * 60_000)
        shell.out.print(last, () => last.sentence)
        if (last.phase !== 'completed')
          throw new CliError('rolloutDegraded', 'rollout_degraded', last.sentence)
      }),
    )
  for (const [verb, says] of [
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
}

async function look(hub: HubClient, id: string): Promise<[Rollout, RolloutDevice[]]> {
  const path = `/api/v1/rollouts/${encodeURIComponent(id)}`
  return [await hub.get<Rollout>(path), await hub.list<RolloutDevice>(`${path}/devices`)]
}

/** Ends when the rollout has ended or is paused. */
async function follow(
  shell: Shell,
  id: string,
  show: (rollout: Rollout, devices: RolloutDevice[]) => void,
  until = Number.POSITIVE_INFINITY,
): Promise<Rollout> {
  let shown = ''
  for (;;) {
    const [found, devices] = await look(shell.hub(), id)
    const now = words(found, devices)
    if (now !== shown) show(found, devices)
    shown = now
    if (ended.includes(found.phase) || found.phase === 'paused') return found
    if (shell.now() > until)
      throw new CliError('timeout', 'timeout', `${id} is still ${found.phase}: ${found.sentence}`)
    await delay(1_000, undefined, { signal: shell.signal })
  }
}

const waveMarks: Record<string, string> = {
  passed: '✔',
  failed: '✖',
  held: '॥',
  soaking: '◌',
  judging: '◌',
  open: '◌',
  pending: '•',
}

function words(rollout: Rollout, devices: RolloutDevice[]): string {
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
  if (rollout.allowedActions.length > 0 && !ended.includes(rollout.phase)) {
    lines.push(
      `Next: ${rollout.allowedActions.map((action) => `godwit rollout ${action} ${rollout.id}`).join(' | ')}`,
    )
  }
  return lines.join('\n')
}

function readPlan(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new CliError('usage', 'plan_unreadable', `${path}: ${(cause as Error).message}`)
  }
}
