import type { Birth } from '@godwit/protocol/messages/presence'
import type { Report, SlotReport, Trial } from '@godwit/protocol/messages/report'
import type { BodyOf } from '@godwit/protocol/messages/telemetry'
import type { Command } from 'commander'
import type { Runner } from '../command.ts'
import { ago, cleaned, table } from '../output.ts'
import { type Completeness, completenessWords } from './completeness-words.ts'

type ShownDevice = {
  id: string
  labels: Record<string, string>
  fingerprint?: string
  status: string
  lastSeenAt?: string
  revokedAt?: string
  directiveVersion?: number
  birth?: Birth
  report?: Report
  goals?: Record<string, { model: string; version: string }>
  ahead?: Record<string, { device: number; hub: number }>
}
type Window = Pick<
  BodyOf['window'],
  'slot' | 'model' | 'version' | 'readings' | 'inferences' | 'errors' | 'anomalies'
> & { seq: number; end: string; dropped: number; requests: number; p95Micros: number | null }

/** Everything about one device, to be read. */
export function showingVerbs(device: Command, run: Runner): void {
  device
    .command('show')
    .description('what a device runs and why, what it waits for, and which of its telemetry is missing')
    .argument('<id>')
    .action(
      run(async (shell, id: string) => {
        const path = `/api/v1/devices/${encodeURIComponent(id)}`
        const found = await shell.hub().get<ShownDevice>(path)
        // What a script reads stays the device as the API gives it.
        const told = shell.out.json ? undefined : await shell.hub().get<Completeness>(`${path}/completeness`)
        shell.out.print(found, () => [words(found, shell.now()), completenessWords(told!)].join('\n\n'))
      }),
    )
  device
    .command('completeness')
    .description('which telemetry of a device is here, and what is missing and why')
    .argument('<id>')
    .action(
      run(async (shell, id: string) => {
        const path = `/api/v1/devices/${encodeURIComponent(id)}/completeness`
        const found = await shell.hub().get<Completeness>(path)
        shell.out.print(found, () => completenessWords(found))
      }),
    )
  device
    .command('windows')
    .description('the telemetry windows of a device, newest first')
    .argument('<id>')
    .option('--limit <count>', 'the newest so many', '20')
    .action(
      run(async (shell, id: string, options: { limit: string }) => {
        const path = `/api/v1/devices/${encodeURIComponent(id)}/windows?limit=${encodeURIComponent(options.limit)}`
        const { items } = await shell.hub().get<{ items: Window[] }>(path)
        shell.out.list(
          items,
          [
            'ENDED',
            'SLOT',
            'RELEASE',
            'READINGS',
            'REQUESTS',
            'ERRORS',
            'DROPPED',
            'ANOMALIES',
            'P95',
            'SEQ',
          ],
          (w) => [
            ...[w.end, w.slot, `${w.model}@${w.version}`, w.readings, w.requests, w.errors, w.dropped],
            ...[w.anomalies, micros(w.p95Micros), w.seq],
          ],
          'no windows yet',
        )
      }),
    )
}

function words(device: ShownDevice, now: number): string {
  const { report, birth } = device
  const { hardware, runtime, agentVersion } = birth ?? {}
  const facts: [string, string | undefined][] = [
    [
      'labels',
      Object.entries(device.labels)
        .map((entry) => entry.join('='))
        .join(' ') || 'none',
    ],
    ['fingerprint', device.fingerprint],
    ['directive', `hub ${device.directiveVersion ?? '–'}, device ${report?.directiveVersion ?? '–'}`],
    ['hub behind', device.ahead && aheadWords(device.ahead)],
    ['clock', clockWords(report?.clock.skewMs)],
    ['hardware', hardware && `${hardware.model}, ${hardware.arch}, ${hardware.os}`],
    ['runtime', runtime && `${runtime.name} ${runtime.version}, agent ${agentVersion}`],
    ['free', report && `${mib(report.free.diskBytes)} disk, ${mib(report.free.memoryBytes)} memory`],
    ['quarantine', report && `${report.quarantine.length} releases, not tried again unless forced`],
  ]
  const names = [...new Set([...Object.keys(report?.slots ?? {}), ...Object.keys(device.goals ?? {})])].sort()
  return [
    `${device.id}  ${presence(device, now)}`,
    factLines(facts),
    ...names.map((name) => slotWords(name, report?.slots[name], device.goals?.[name])),
    ...(names.length === 0 ? ['no model yet, and none wanted'] : []),
  ].join('\n')
}

function aheadWords(ahead: NonNullable<ShownDevice['ahead']>): string {
  const pairs = Object.entries(ahead).map(
    ([name, { device, hub }]) => `${name} ${device} here, ${hub} at the hub`,
  )
  return `${pairs.join('; ')}. Was the hub restored from a backup? docs/trust.md says what to do`
}

function presence({ status, revokedAt, lastSeenAt }: ShownDevice, now: number): string {
  if (revokedAt) return `revoked at ${revokedAt}; the hub lets it in no more`
  if (status === 'online') return 'online'
  const seen = ago(lastSeenAt ? Date.parse(lastSeenAt) : undefined, now)
  const said = status === 'sleeping' ? 'sleeping, as it said when it went' : status
  return `${said}; last seen ${seen}, and what follows is as of then`
}

function slotWords(
  name: string,
  report: SlotReport | undefined,
  goal: { model: string; version: string } | undefined,
): string {
  const { active, target, phase, code, detail, lastKnownGood } = report ?? {}
  const of = target ? ` of ${ref(target)}` : ''
  const facts: [string, string | undefined][] = [
    ['active', active ? `${ref(active)} since ${new Date(active.since).toISOString()}` : 'nothing'],
    ['runs', active && `${active.variant} on ${active.executionProvider}, which is what really ran it`],
    ['chosen', active?.choice?.why],
    ['last known good', lastKnownGood ? ref(lastKnownGood) : 'none'],
    ['the hub wants', goal ? ref(goal) : 'nothing'],
    ['deployment', phase && `${spaced(phase)}${of}${code && code !== 'ok' ? `: ${code}` : ''}`],
    [code ? 'because' : 'held up', detail],
  ]
  const trials = active?.choice?.trials ?? []
  return [`slot ${name}`, factLines(facts), ...(trials.length > 0 ? [trialTable(trials)] : [])].join('\n')
}

function trialTable(trials: readonly Trial[]): string {
  return table(
    ['VARIANT', 'RAN ON', 'VERDICT', 'MEDIAN', 'P95', 'CPU', 'MEMORY', 'ENERGY', 'DETAIL'],
    trials.map((t) => [
      ...[t.variant, `${t.executionProvider}${nodesOf(t)}`, t.code],
      ...[micros(t.p50Micros), micros(t.p95Micros), micros(t.cpuMicros)],
      t.memoryBytes === undefined ? '–' : mib(t.memoryBytes),
      t.energyMicrojoules === undefined
        ? 'not known'
        : `${t.energyMicrojoules / 1000} mJ ${t.energyLabel ?? ''}`,
      t.detail ?? '',
    ]),
    '',
  )
}

function nodesOf({ nodes }: Trial): string {
  const shares = Object.entries(nodes ?? {})
  return shares.length > 1 ? ` (${shares.map(([name, count]) => `${count} nodes ${name}`).join(', ')})` : ''
}

function clockWords(skewMs: number | undefined): string {
  if (skewMs === undefined) return 'not compared with the hub yet'
  if (Math.abs(skewMs) < 2_000) return 'as the hub’s'
  return `${skewMs > 0 ? 'ahead of' : 'behind'} the hub’s by ${Math.round(Math.abs(skewMs) / 1000)} s`
}

function factLines(facts: readonly (readonly [string, string | undefined])[]): string {
  return facts
    .flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(16)}${cleaned(value)}`]))
    .join('\n')
}

const ref = ({ model, version }: { model: string; version: string }) => `${model}@${version}`
const spaced = (word: string) => word.replaceAll('_', ' ')
const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
function micros(value: number | null | undefined): string {
  if (value === undefined || value === null) return '–'
  return value < 1_000 ? `${value} µs` : `${Math.round(value / 10) / 100} ms`
}
