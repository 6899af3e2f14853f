import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { useParams } from 'react-router'
import type { ModelVersion, Release, Tensor } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Card } from '../parts/card.tsx'
import { Command } from '../parts/copy.tsx'
import { Digest } from '../parts/digest.tsx'
import { Page, Section } from '../parts/page.tsx'
import { DeviceLink } from '../parts/release.tsx'
import { Verdict } from '../parts/state.tsx'
import { Facts, Table } from '../parts/table.tsx'
import { Ago, At } from '../parts/time.tsx'
import { ask } from '../queries.ts'
import { bytes, clock, joules, micros, plural, unknown } from '../view/format.ts'
import { DriftOf, devicesOf } from './model.tsx'
import { Listed } from './models.tsx'

export function VersionPage() {
  const { model, version } = useParams() as { model: string; version: string }
  const found = useQuery(ask.version(model, version))
  return (
    <Page
      title={`${model}@${version}`}
      above={{ to: `/models/${encodeURIComponent(model)}`, text: model }}
      side={found.data && <Listed version={found.data} />}
      verdict={found.data && <VersionVerdict version={found.data} />}
    >
      <Answer to={found}>{(data) => <Whole version={data} name={{ model, version }} />}</Answer>
    </Page>
  )
}

function VersionVerdict({ version }: { version: ModelVersion }) {
  const devices = devicesOf(version, version.model ?? '')
  const where =
    devices === undefined
      ? ''
      : devices === 0
        ? ' Running nowhere.'
        : ` Running on ${plural(devices, 'device')}.`
  const listed = version.listed ?? (version.listedAt && !version.delistedAt)
  if (listed) {
    const since = version.listedAt ? ` since ${clock(version.listedAt)}` : ''
    return <Verdict tone="ok">{`Signed by its publishers and listed${since}.${where}`}</Verdict>
  }
  if (version.delistedAt)
    return <Verdict tone="warn">{`Withdrawn by its publishers: no new installs.${where}`}</Verdict>
  return (
    <Verdict tone="waiting">{`Uploaded; no device installs it before its publishers have signed for it.${where}`}</Verdict>
  )
}

function Whole({ version, name }: { version: ModelVersion; name: { model: string; version: string } }) {
  const drift = useQuery(ask.drift)
  const release = version.release ?? {}
  const devices = Array.isArray(version.devices) ? version.devices : []
  const verdicts = (drift.data?.items ?? []).filter(
    (v) => v.model === name.model && v.version === name.version,
  )
  return (
    <>
      <div className="columns">
        <Section title="Release">
          <Facts
            of={[
              ['Release digest', <Digest key="digest" of={version.releaseDigest} what="release digest" />],
              ['Created', <At key="created" at={release.createdAt ?? version.createdAt} />],
              ['Uploaded by', version.createdBy],
              ['Listed', <Ago key="listed" at={version.listedAt} />],
              ['Drift', <DriftOf key="drift" verdicts={verdicts} />],
              ['Note', release.note],
              ...provenanceFacts(release),
            ]}
          />
        </Section>
        <Section title="What it promises">
          <Facts
            of={[
              [
                'p95 latency',
                release.promises?.p95Micros === undefined
                  ? 'no promise'
                  : `≤ ${micros(release.promises.p95Micros)}`,
              ],
              [
                'Memory',
                release.promises?.memoryBytes === undefined
                  ? 'no promise'
                  : `≤ ${bytes(release.promises.memoryBytes)}`,
              ],
              [
                'Energy per inference',
                release.promises?.energyMillijoules === undefined
                  ? 'no promise'
                  : `≤ ${joules(release.promises.energyMillijoules / 1000)}`,
              ],
              ['Needs', needsOf(release)],
            ]}
          />
        </Section>
      </div>
      <CardSection release={release} />
      <Section title="Inputs and outputs">
        <Table
          caption="Inputs and outputs"
          rows={[...tensors('input', release.io?.inputs), ...tensors('output', release.io?.outputs)]}
          keyOf={(tensor) => `${tensor.side} ${tensor.name}`}
          empty="The hub gave none."
          columns={[
            { head: 'Name', cell: ({ name }) => <code>{name}</code> },
            { head: 'Side', cell: ({ side }) => side },
            { head: 'Type', cell: ({ dtype }) => dtype },
            { head: 'Shape', cell: ({ shape }) => `[${shape.join(', ')}]` },
          ]}
        />
      </Section>
      <Files release={release} />
      <Section title="Verify it yourself">
        <p>
          The release document is what the publishers sign for; it names the digest of every file above. Its
          own digest, computed by a tool that is not ours, must be{' '}
          <code>{version.releaseDigest ?? unknown}</code>:
        </p>
        <Command
          text={`curl -fsS -H "authorization: Bearer $GODWIT_TOKEN" ${location.origin}/blobs/sha256/${version.releaseDigest ?? unknown} | sha256sum`}
        />
        <p className="muted">
          Who signed for it is checked by every device, against the root document that it pinned when it
          joined.
        </p>
      </Section>
      <Section title="Devices that run it">
        {devices.length > 0 ? (
          <ul className="inline-list">
            {devices.map((id) => (
              <li key={id}>
                <DeviceLink id={id} />
              </li>
            ))}
          </ul>
        ) : (
          <p className="empty">{version.devices === undefined ? unknown : 'None.'}</p>
        )}
      </Section>
    </>
  )
}

function provenanceFacts({ provenance }: Release): (readonly [string, ReactNode])[] {
  const { trainer, commit, parent, dataset } = provenance ?? {}
  return [
    ...(parent ? [['Made from', parent] as const] : []),
    ...(trainer ? [['Trainer', trainer] as const] : []),
    ...(commit ? [['Code', <code key="commit">{commit}</code>] as const] : []),
    ...(dataset ?? [])
      .map(
        ({ name, sha256 }) =>
          [
            'Data set',
            <>
              <span>{name} </span>
              <Digest of={sha256} what={`digest of ${name}`} />
            </>,
          ] as const,
      )
      .slice(0, 1),
  ]
}

function needsOf({ requires }: Release): string {
  const opset = Object.entries(requires?.opset ?? {}).map(([domain, n]) => `${domain || 'ai.onnx'} ${n}`)
  const arch = requires?.arch?.join(' or ')
  return (
    [
      opset.length > 0 && `opset ${opset.join(', ')}`,
      arch,
      requires?.memoryBytes && bytes(requires.memoryBytes),
    ]
      .filter(Boolean)
      .join('; ') || unknown
  )
}

function tensors(side: string, of: Tensor[] | undefined): (Tensor & { side: string })[] {
  return (of ?? []).map((tensor) => ({ ...tensor, side }))
}

function CardSection({ release }: { release: Release }) {
  const sha256 = release.card ? release.files?.[release.card]?.sha256 : undefined
  const card = useQuery({ ...ask.blob(sha256 ?? ''), enabled: sha256 !== undefined })
  return (
    <Section title="Card">
      {sha256 ? (
        <Answer to={card}>{(text) => <Card markdown={text} />}</Answer>
      ) : (
        <p className="empty">This version came without a card.</p>
      )}
    </Section>
  )
}

function Files({ release }: { release: Release }) {
  const roles = (path: string) =>
    [
      ...(release.variants ?? [])
        .filter(({ file }) => file === path)
        .map(({ name, precision }) => `variant ${name}${precision ? ` (${precision})` : ''}`),
      ...(['golden', 'pipeline', 'profile', 'card'] as const).filter((part) => release[part] === path),
    ].join(', ')
  return (
    <Section title="Files">
      <Table
        caption="Files of the bundle"
        rows={Object.entries(release.files ?? {})}
        keyOf={([path]) => path}
        empty="The hub gave none."
        columns={[
          { head: 'File', cell: ([path]) => <code>{path}</code> },
          { head: 'Is', cell: ([path]) => roles(path) || '–' },
          { head: 'Size', number: true, cell: ([, { sizeBytes }]) => bytes(sizeBytes) },
          {
            head: 'SHA-256',
            cell: ([path, { sha256 }]) => <Digest of={sha256} what={`digest of ${path}`} />,
          },
        ]}
      />
    </Section>
  )
}
