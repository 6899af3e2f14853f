import { useQuery } from '@tanstack/react-query'
import type { DriftVerdict, FeatureVerdict } from '../api.ts'
import { Answer } from '../parts/answer.tsx'
import { Icon } from '../parts/icon.tsx'
import { Page, Section } from '../parts/page.tsx'
import { DeviceLink } from '../parts/release.tsx'
import { State, Verdict } from '../parts/state.tsx'
import { ask } from '../queries.ts'
import {
  alarmsIn,
  byTime,
  cellLabel,
  driftSentence,
  type Heat,
  heatOf,
  shareOf,
  withWord,
} from '../view/drift.ts'
import { count, number } from '../view/format.ts'
import { signOf, type Tone } from '../view/words.ts'

export function DriftPage() {
  const drift = useQuery(ask.drift)
  return (
    <Page
      title="Drift"
      verdict={
        drift.data && (
          <Verdict tone={toneOf(drift.data.items)}>{driftSentence(drift.data.items, drift.data.now)}</Verdict>
        )
      }
    >
      <p className="muted lead">
        Each device is compared with the reference profile that its release was signed with. Evidence is an
        odds ratio: it starts at 1, grows while a feature stays away from the reference, and an alarm once
        reached stays. Without enough windows there is no verdict.
      </p>
      <Answer to={drift}>
        {({ items, nextCursor }) => (
          <>
            {nextCursor && (
              <p className="muted">{`The ${count(items.length)} with the strongest evidence:`}</p>
            )}
            <HeatMaps items={items} />
          </>
        )}
      </Answer>
    </Page>
  )
}

function toneOf(items: readonly DriftVerdict[]): Tone {
  const { now } = byTime(items)
  if (alarmsIn(now).length > 0) return 'bad'
  return withWord(now, 'quiet') > 0 ? 'ok' : 'waiting'
}

function HeatMaps({ items }: { items: readonly DriftVerdict[] }) {
  if (items.length === 0) return <p className="empty">No drift windows yet.</p>
  const { now, before } = byTime(items)
  return (
    <>
      {heatOf(now).map((heat) => (
        <HeatMap key={heat.key} heat={heat} />
      ))}
      {heatOf(before).map((heat) => (
        <HeatMap key={heat.key} heat={heat} isPast />
      ))}
    </>
  )
}

function HeatMap({ heat, isPast = false }: { heat: Heat; isPast?: boolean }) {
  const name = `${heat.model}@${heat.version}`
  return (
    <Section title={isPast ? `${name}, on devices that have left it` : name} side={<Legend />}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section className="table-box" aria-label={`Drift under ${name}`} tabIndex={0}>
        <table className="heat">
          <caption className="hidden">{`Drift under ${name}: evidence per device and feature, limit ${number(heat.threshold)}`}</caption>
          <thead>
            <tr>
              <th scope="col">Device</th>
              {heat.features.map((feature) => (
                <th key={feature} scope="col">
                  {feature}
                </th>
              ))}
              <th scope="col">Verdict</th>
              <th scope="col" className="number">
                Windows
              </th>
            </tr>
          </thead>
          <tbody>
            {heat.rows.map(({ deviceId, slot, verdict, cells }) => (
              <tr key={`${deviceId} ${slot}`}>
                <th scope="row">
                  <DeviceLink id={deviceId} />
                </th>
                {cells.map((cell, i) => (
                  <Cell
                    key={heat.features[i]}
                    device={deviceId}
                    verdict={verdict}
                    cell={cell}
                    feature={heat.features[i]!}
                  />
                ))}
                <td>
                  <State of={verdict.state} />
                </td>
                <td className="number">
                  {count(verdict.windows)}
                  {signOf(verdict.state).word === 'not enough data' && ` of ${count(verdict.windowsNeeded)}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </Section>
  )
}

/** Steps of the scale; the stylesheet has a colour for each. */
const steps = 5

function Cell(props: {
  device: string
  verdict: DriftVerdict
  cell: FeatureVerdict | undefined
  feature: string
}) {
  const { device, verdict, cell, feature } = props
  const label = cellLabel(device, verdict, cell, feature)
  if (!cell) return <td className="heat-none" aria-label={label} title={label} />
  const sign = signOf(cell.state)
  const share = shareOf(cell.evidence, verdict.threshold) ?? 0
  const step =
    sign.tone === 'bad'
      ? 'alarm'
      : sign.word === 'not enough data'
        ? 'open'
        : Math.min(steps - 1, Math.floor(share * steps))
  return (
    <td className={`heat-cell heat-${step}`} aria-label={label} title={label}>
      {step === 'alarm' && <Icon name="bad" />}
      {number(cell.evidence)}
    </td>
  )
}

function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      <li>
        <span className="swatch heat-0" /> no evidence
      </li>
      <li>
        <span className="swatch heat-4" /> near the limit
      </li>
      <li>
        <span className="swatch heat-alarm">
          <Icon name="bad" />
        </span>{' '}
        alarm
      </li>
      <li>
        <span className="swatch heat-open" /> not enough data
      </li>
    </ul>
  )
}
