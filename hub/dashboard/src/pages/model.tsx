import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from 'react-router'
import type { DriftVerdict, EnergyGroup, Model, ModelVersion } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Digest } from '../parts/digest.tsx'
import { Page, Section } from '../parts/page.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { type Column, Facts, Table } from '../parts/table.tsx'
import { Ago } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { groupsOf, joulesPerInference } from '../view/energy.ts'
import { bytes, count, joules, msOf, plural } from '../view/format.ts'
import { signOf } from '../view/words.ts'
import { Listed } from './models.tsx'
import { type Running, useRunning } from './running.ts'

export function ModelPage() {
  const name = useParams()['model']!
  const model = useQuery(ask.model(name))
  return (
    <Page
      title={name}
      above={{ to: '/models', text: 'Models' }}
      verdict={model.data && <ModelVerdict model={model.data} />}
    >
      <Answer to={model}>{(data) => <Whole model={data} />}</Answer>
    </Page>
  )
}

function ModelVerdict({ model }: { model: Model }) {
  const running = useRunning()
  const versions = model.versions ?? []
  const on = versions.map((version) => devicesOf(version, model.name, running)).filter((n) => n !== undefined)
  const where =
    on.length > 0
      ? `, on ${plural(
          on.reduce((sum, n) => sum + n, 0),
          'device',
        )}`
      : ''
  const text = `${plural(versions.length, 'version')}${where}.`
  return (
    <Verdict
      tone={versions.length > 0 ? 'ok' : 'waiting'}
    >{`${model.description ? `${model.description} ` : ''}${text}`}</Verdict>
  )
}

function Whole({ model }: { model: Model }) {
  const drift = useQuery(ask.drift)
  const energy = useQuery(ask.energy('version'))
  const running = useRunning()
  const aliases = Object.entries(model.aliases ?? {})
  return (
    <>
      <Section title="Aliases">
        {aliases.length === 0 ? (
          <p className="empty">None: godwit model alias set {model.name} champion VERSION</p>
        ) : (
          <Facts
            of={aliases.map(
              ([alias, version]) =>
                [alias, <VersionLink key={alias} model={model.name} version={version} />] as const,
            )}
          />
        )}
      </Section>
      <Section title="Versions">
        <Table
          caption={`Versions of ${model.name}`}
          columns={columnsFor(model.name, drift.data?.items ?? [], groupsOf(energy.data), running)}
          rows={[...(model.versions ?? [])].sort(newestFirst)}
          keyOf={({ version }) => version}
          empty="None yet: godwit version publish DIRECTORY MODEL@VERSION"
        />
      </Section>
    </>
  )
}

function columnsFor(
  model: string,
  drift: readonly DriftVerdict[],
  energy: readonly EnergyGroup[],
  running: Running | undefined,
): Column<ModelVersion>[] {
  return [
    { head: 'Version', cell: ({ version }) => <VersionLink model={model} version={version} /> },
    { head: 'State', cell: (version) => <Listed version={version} /> },
    { head: 'Devices', number: true, cell: (version) => count(devicesOf(version, model, running)) },
    {
      head: 'Drift',
      cell: ({ version }) => (
        <DriftOf verdicts={drift.filter((v) => v.model === model && v.version === version)} />
      ),
    },
    {
      head: 'J / inference',
      number: true,
      cell: ({ version }) =>
        joules(joulesPerInference(energy.find((e) => e.model === model && e.version === version))),
    },
    { head: 'Size', number: true, wide: true, cell: ({ sizeBytes }) => bytes(sizeBytes) },
    {
      head: 'Release digest',
      wide: true,
      cell: ({ releaseDigest }) => <Digest of={releaseDigest} what="release digest" />,
    },
    { head: 'Created', wide: true, cell: ({ createdAt }) => <Ago at={createdAt} /> },
  ]
}

function VersionLink({ model, version }: { model: string; version: string }) {
  return (
    <Link to={`/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`}>{version}</Link>
  )
}

export function DriftOf({ verdicts }: { verdicts: readonly DriftVerdict[] }) {
  if (verdicts.length === 0) return '–'
  const alarms = verdicts.filter(({ state }) => signOf(state).tone === 'bad').length
  if (alarms > 0) return <State of="alarm">{`${alarms} of ${verdicts.length} alarm`}</State>
  const quiet = verdicts.filter(({ state }) => signOf(state).word === 'quiet').length
  return quiet > 0 ? (
    <State of="quiet">{`${quiet} of ${verdicts.length} quiet`}</State>
  ) : (
    <State of="not_enough_data" />
  )
}

/** Undefined where neither the hub says nor all devices could be counted. */
export function devicesOf(
  { devices, version }: ModelVersion,
  model: string,
  running?: Running,
): number | undefined {
  if (Array.isArray(devices)) return devices.length
  if (typeof devices === 'number') return devices
  if (!running || running.isPart) return undefined
  return running.versions.find((entry) => entry.model === model && entry.version === version)?.devices ?? 0
}

function newestFirst(a: ModelVersion, b: ModelVersion): number {
  return (
    (b.releaseCounter ?? 0) - (a.releaseCounter ?? 0) || (msOf(b.createdAt) ?? 0) - (msOf(a.createdAt) ?? 0)
  )
}
