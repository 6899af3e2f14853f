import type { Noun } from '../command.ts'
import { wholeNumberFrom } from '../number.ts'
import { table } from '../output.ts'

type Verdict = {
  deviceId: string
  slot: string
  model: string
  version: string
  state: string
  evidence: number
  threshold: number
  windows: number
  certified?: boolean
}
type Energy = {
  items: {
    key: string
    joules: number | null
    grams: number | null
    label: string | null
    coverage: number | null
    inferences: number
  }[]
  factor: { zone: string; gramsPerKilowattHour: number; source: string; year: number | string }
}
type Overview = {
  fleet: string
  devices: Record<string, number>
  telemetry: Record<string, number>
  attention: { severity: string; text: string }[]
}

export const telemetryNouns: Noun = (program, run) => {
  program
    .command('status')
    .description('the fleet in a few lines')
    .action(
      run(async (shell) => {
        const now = await shell.hub().get<Overview>('/api/v1/overview')
        shell.out.print(now, () => {
          const counts = (record: Record<string, number>) =>
            Object.entries(record)
              .map(([name, n]) => `${n} ${name}`)
              .join(', ')
          const worries = now.attention.map((a) => `${a.severity === 'alarm' ? '✖' : '⚠'} ${a.text}`)
          return [
            `fleet ${now.fleet}: ${counts(now.devices)}`,
            `telemetry: ${counts(now.telemetry)}`,
            ...(worries.length > 0 ? worries : [quiet(now.devices)]),
          ].join('\n')
        })
      }),
    )
  program
    .command('drift')
    .description("what each device's readings say about its release")
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<Verdict>('/api/v1/drift')
        shell.out.list(
          all,
          ['DEVICE', 'SLOT', 'RELEASE', 'VERDICT', 'EVIDENCE', 'ALARM AT', 'WINDOWS'],
          (v) => [
            v.deviceId,
            v.slot,
            `${v.model}@${v.version}`,
            v.state,
            v.evidence > 1_000 ? 'over 1000' : v.evidence.toPrecision(3),
            v.threshold,
            v.windows,
          ],
          'no verdicts yet',
        )
      }),
    )
  program
    .command('energy')
    .description('joules and grams of CO2e, each with its label')
    .option('--by <what>', 'device, model or version', 'version')
    .action(
      run(async (shell, options: { by: string }) => {
        const found = await shell
          .hub()
          .get<Energy>(`/api/v1/energy?limit=1000&groupBy=${encodeURIComponent(options.by)}`)
        const number = (value: number | null) => (value === null ? '–' : value.toPrecision(3))
        shell.out.print(found, () =>
          [
            table(
              [options.by.toUpperCase(), 'JOULES', 'g CO2e', 'LABEL', 'COVERAGE', 'INFERENCES'],
              found.items.map((e) => [
                e.key,
                number(e.joules),
                number(e.grams),
                e.label,
                e.coverage === null ? '–' : `${Math.round(e.coverage * 100)} %`,
                e.inferences,
              ]),
              'no energy figures yet',
            ),
            `factor: ${found.factor.zone} ${found.factor.gramsPerKilowattHour} g/kWh (${found.factor.source}, ${found.factor.year})`,
          ].join('\n'),
        )
      }),
    )
  program
    .command('events')
    .description('what happened on the devices')
    .option('--kind <kind>', 'such as anomaly')
    .option('--device <id>')
    .option('--limit <count>', 'the newest so many', wholeNumberFrom(1, 10_000), 50)
    .action(
      run(async (shell, options: { kind?: string; device?: string; limit: number }) => {
        const query = new URLSearchParams({ limit: String(Math.min(options.limit, 1_000)) })
        if (options.kind !== undefined) query.set('kind', options.kind)
        if (options.device !== undefined) query.set('deviceId', options.device)
        const all = await shell
          .hub()
          .list<{ at: string; deviceId: string; kind: string; severity: string; detail: unknown }>(
            `/api/v1/telemetry/events?${query}`,
            options.limit,
          )
        shell.out.list(
          all,
          ['AT', 'DEVICE', 'KIND', 'SEVERITY', 'DETAIL'],
          (e) => [e.at, e.deviceId, e.kind, e.severity, JSON.stringify(e.detail).slice(0, 80)],
          'no events',
        )
      }),
    )
}

/** A hub that was made a moment ago has nothing to complain of and nothing to show. */
function quiet({ total }: Record<string, number>): string {
  return total === 0 ? 'no device yet: godwit device add NAME makes a join token' : '✔ nothing needs you'
}
