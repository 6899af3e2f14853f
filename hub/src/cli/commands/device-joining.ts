import type { Command } from 'commander'
import type { Runner } from '../command.ts'
import { CliError } from '../exit.ts'
import { keyIn, keysIn, type RegisteredKey } from '../key-list.ts'
import { labelOf } from '../label.ts'
import { ago } from '../output.ts'

type Pending = {
  fingerprint: string
  wantedId?: string
  address: string
  firstAt: string
  lastAt: string
  rejectedAt?: string
}
type Registered = { deviceId: string; fingerprint: string; publicKey: string; registeredBy: string }
type JoinConfig = { hubUrl: string; rootSha256: string; caSha256?: string }
type RegisterOptions = { key?: string; label: string[]; file?: string }

/** What the hub takes in one transaction. */
const keysAtOnce = 1_000

/** How devices come in that have no join token: approved by a person, or registered beforehand. */
export function joiningVerbs(device: Command, run: Runner): void {
  device
    .command('join-config')
    .description(
      'what to put into the configuration of devices without a join token; no secret, the same for all',
    )
    .action(
      run(async (shell) => {
        const config = await shell.hub().get<JoinConfig>('/api/v1/join-config')
        const lines = Object.entries(config).map(([key, value]) => `  ${key}: ${value}`)
        shell.out.print(config, () => ['join:', ...lines].join('\n'))
      }),
    )
  device
    .command('pending')
    .description(
      'devices that ask to be let in without a token; compare the fingerprint with the one on the device',
    )
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<Pending>('/api/v1/pending-devices')
        shell.out.list(
          all,
          ['FINGERPRINT', 'WANTS TO BE', 'FROM', 'SINCE', 'LAST ASKED', 'STATE'],
          (d) => [
            d.fingerprint,
            d.wantedId ?? '–',
            d.address,
            ago(Date.parse(d.firstAt), shell.now()),
            ago(Date.parse(d.lastAt), shell.now()),
            d.rejectedAt === undefined ? 'waits' : 'rejected',
          ],
          'nobody waits',
        )
      }),
    )
  device
    .command('approve')
    .description('let a pending device in')
    .argument('<fingerprint...>', 'as `device pending` and `godwit-agent identity` show it')
    .option('--name <id>', 'what it is called from now on; else what it asked for')
    .option('--label <key=value...>', 'labels the device gets', [])
    .action(
      run(async (shell, parts: string[], options: { name?: string; label: string[] }) => {
        const approved = await shell
          .hub()
          .send<{ deviceId: string }>('POST', `${pendingPath(parts)}/approve`, {
            ...(options.name === undefined ? {} : { deviceId: options.name }),
            labels: Object.fromEntries(options.label.map(labelOf)),
          })
        shell.out.print(approved, () => `${approved.deviceId} comes in when it asks next`)
      }),
    )
  device
    .command('reject')
    .description('turn a pending device away for three days; approving it takes that back')
    .argument('<fingerprint...>')
    .action(
      run(async (shell, parts: string[]) => {
        await shell.hub().send('POST', `${pendingPath(parts)}/reject`)
        shell.out.print({ rejected: parts.join(' ') }, () => `rejected ${parts.join(' ')}`)
      }),
    )
  device
    .command('register')
    .description('let keys made at a factory join as their devices, with no secret')
    .argument('[id]', 'one device, with --key')
    .option('--key <hex>', 'its public key, or a file that holds it or what `godwit-agent identity` printed')
    .option('--label <key=value...>', 'labels the device gets', [])
    .option(
      '--file <file>',
      'instead: JSON lines {"deviceId","publicKey","labels"}, or CSV with the columns deviceId and publicKey, others being labels',
    )
    .action(
      run(async (shell, id: string | undefined, options: RegisterOptions) => {
        const keys = keysOf(id, options)
        // Each part is taken whole or not at all; the same list again takes up where it was refused.
        for (let at = 0; at < keys.length; at += keysAtOnce)
          await shell.hub().send('POST', '/api/v1/registered-keys', { keys: keys.slice(at, at + keysAtOnce) })
        shell.out.print({ registered: keys.length }, () => `registered ${keys.length} key(s)`)
      }),
    )
  device
    .command('registered')
    .description('keys that may join as their devices')
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<Registered>('/api/v1/registered-keys')
        shell.out.list(
          all,
          ['DEVICE', 'FINGERPRINT', 'BY', 'PUBLIC KEY'],
          (k) => [k.deviceId, k.fingerprint, k.registeredBy, k.publicKey],
          'no registered keys',
        )
      }),
    )
  device
    .command('unregister')
    .description('take a registered key back; a device that is in already is revoked instead')
    .argument('<key>', 'the public key, or a file that holds it')
    .action(
      run(async (shell, key: string) => {
        const publicKey = keyIn(key)
        await shell.hub().send('DELETE', `/api/v1/registered-keys/${publicKey}`)
        shell.out.print({ unregistered: publicKey }, () => `unregistered ${publicKey}`)
      }),
    )
}

/** With or without the spaces that make it readable. */
function pendingPath(parts: readonly string[]): string {
  const fingerprint = parts.join('').replaceAll(' ', '').toLowerCase()
  if (/^[0-9a-f]{32}$/.test(fingerprint)) return `/api/v1/pending-devices/${fingerprint}`
  throw new CliError(
    'usage',
    'not_a_fingerprint',
    `expected 32 hexadecimal digits, found ${JSON.stringify(parts.join(' '))}`,
  )
}

function keysOf(id: string | undefined, { key, label, file }: RegisterOptions): RegisteredKey[] {
  if (file !== undefined && id === undefined && key === undefined) return keysIn(file)
  if (id === undefined || key === undefined || file !== undefined)
    throw new CliError('usage', 'register_what', 'give ID and --key, or --file alone')
  return [{ deviceId: id, publicKey: keyIn(key), labels: Object.fromEntries(label.map(labelOf)) }]
}
