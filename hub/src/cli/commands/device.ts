import { ProbationPolicy } from '@godwit/protocol/messages/directive'
import type { Noun } from '../command.ts'
import { CliError } from '../exit.ts'
import { labelOf } from '../label.ts'
import { numberFrom, wholeNumberFrom } from '../number.ts'
import { ago } from '../output.ts'
import { versionOf } from '../version-name.ts'
import { joiningVerbs } from './device-joining.ts'
import { showingVerbs } from './device-show.ts'

type Device = {
  id: string
  labels: Record<string, string>
  status: string
  lastSeenAt?: string
  revokedAt?: string
  report?: { slots: Record<string, { phase: string; active?: { model: string; version: string } }> }
  goals?: Record<string, { model: string; version: string }>
}

type SetOptions = { slot: string; force?: boolean; probation?: string[] }

/** As a directive spells them (SPEC 6.5), with their units. */
const probationNames = Object.keys(ProbationPolicy.properties)

export const deviceNoun: Noun = (program, run) => {
  const device = program.command('device').description('the devices of the fleet')
  device
    .command('add')
    .description('make a one-time join token for a device')
    .argument('[id]', 'its name; else the hub gives one')
    .option('--label <key=value...>', 'labels the device gets', [])
    .option('--uses <count>', 'how many devices may join with it', wholeNumberFrom(1, 100_000), 1)
    .option('--expires-hours <hours>', 'life of the token', numberFrom(0.001, 8_784), 24)
    .action(
      run(
        async (
          shell,
          id: string | undefined,
          options: { label: string[]; uses: number; expiresHours: number },
        ) => {
          const made = await shell.hub().send<{ id: string; token: string }>('POST', '/api/v1/join-tokens', {
            labels: Object.fromEntries(options.label.map(labelOf)),
            uses: options.uses,
            expiresInMs: Math.round(options.expiresHours * 3_600_000),
            ...(id === undefined ? {} : { deviceId: id }),
          })
          shell.out.note('On the device:')
          shell.out.print(
            made,
            () =>
              `godwit-agent run --state /var/lib/godwit-agent --join ${made.token} --slot default=jsonl:READINGS_FILE`,
          )
        },
      ),
    )
  joiningVerbs(device, run)
  device
    .command('list')
    .description('all devices, or those that a selector names')
    .option('--select <selector>', 'such as placement=outdoor')
    .action(
      run(async (shell, options: { select?: string }) => {
        const query = options.select === undefined ? '' : `?select=${encodeURIComponent(options.select)}`
        const all = await shell.hub().list<Device>(`/api/v1/devices${query}`)
        shell.out.list(
          all,
          ['DEVICE', 'STATUS', 'RUNNING', 'PHASE', 'LAST SEEN', 'LABELS'],
          (d) => [d.id, statusOf(d), runningOf(d), phaseOf(d), seen(d, shell.now()), labelsOf(d)],
          'no devices; godwit device add NAME',
        )
      }),
    )
  showingVerbs(device, run)
  device
    .command('label')
    .description('set labels of a device; the others stay')
    .argument('<id>')
    .argument('<key=value...>')
    .action(
      run(async (shell, id: string, labels: string[]) => {
        const path = `/api/v1/devices/${encodeURIComponent(id)}`
        const { labels: held } = await shell.hub().get<Device>(path)
        const next = { ...held, ...Object.fromEntries(labels.map(labelOf)) }
        shell.out.print(
          await shell.hub().send<Device>('PATCH', path, { labels: next }),
          () =>
            `${id}: ${Object.entries(next)
              .map((e) => e.join('='))
              .join(' ')}`,
        )
      }),
    )
  device
    .command('set')
    .description('give one device a version, without a rollout')
    .argument('<id>')
    .argument('<model@version>')
    .option('--slot <slot>', 'which slot', 'default')
    .option('--force', 'try a release again that this device has quarantined')
    .option(
      '--probation <name=number...>',
      `what it must show to be kept; else the usual: ${probationNames.join(', ')}`,
    )
    .action(
      run(async (shell, id: string, what: string, options: SetOptions) => {
        const { model, version } = versionOf(what)
        const path = `/api/v1/devices/${encodeURIComponent(id)}/goals/${encodeURIComponent(options.slot)}`
        const made = await shell.hub().send('PUT', path, {
          model,
          version,
          ...(options.force ? { force: true } : {}),
          ...(options.probation ? { probation: probationOf(options.probation) } : {}),
        })
        shell.out.print(made, () => `${id}: ${options.slot} → ${model} ${version}`)
      }),
    )
  device
    .command('revoke')
    .description('never let this device in again; its open connection ends at once')
    .argument('<id>')
    .option('--yes', 'do not ask')
    .action(
      run(async (shell, id: string, options: { yes?: boolean }) => {
        if (!options.yes)
          throw new CliError('usage', 'confirm', `revoking ${id} cannot be undone`, 'say --yes')
        shell.out.print(
          await shell.hub().send('POST', `/api/v1/devices/${encodeURIComponent(id)}/revoke`, {}),
          () => `revoked ${id}`,
        )
      }),
    )
}

function probationOf(pairs: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name = '', text = ''] = pair.split('=')
      if (probationNames.includes(name) && /^\d+$/.test(text)) return [name, Number(text)]
      const names = probationNames.join(', ')
      throw new CliError(
        'usage',
        'not_a_probation',
        `expected NAME=NUMBER with one of ${names}, found ${JSON.stringify(pair)}`,
      )
    }),
  )
}

function statusOf(device: Device): string {
  return device.revokedAt ? 'revoked' : device.status
}

function runningOf(device: Device): string {
  const slots = Object.entries(device.report?.slots ?? {})
  return (
    slots
      .map(
        ([slot, { active }]) =>
          `${slot === 'default' ? '' : `${slot}:`}${active ? `${active.model}@${active.version}` : 'nothing'}`,
      )
      .join(' ') || '–'
  )
}

function phaseOf(device: Device): string {
  return (
    Object.values(device.report?.slots ?? {})
      .map((slot) => slot.phase)
      .join(' ') || '–'
  )
}

function seen(device: Device, now: number): string {
  return device.status === 'online'
    ? 'now'
    : ago(device.lastSeenAt ? Date.parse(device.lastSeenAt) : undefined, now)
}

function labelsOf(device: Device): string {
  return Object.entries(device.labels)
    .map((entry) => entry.join('='))
    .join(' ')
}
