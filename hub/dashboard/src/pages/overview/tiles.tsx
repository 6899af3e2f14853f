import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import type { Energy, Maybe, Overview } from '../../api.ts'
import { Answer } from '../../parts/answer.tsx'
import { Evidence } from '../../parts/evidence.tsx'
import { DeviceLink } from '../../parts/release.tsx'
import { State } from '../../parts/state.tsx'
import { TallyBar } from '../../parts/tally.tsx'
import { ask } from '../../queries.ts'
import { alarmsIn, byTime, withWord } from '../../view/drift.ts'
import { billedJoules, factorsOf, factorText, intensityText, provenanceText } from '../../view/energy.ts'
import { count, grams, joules } from '../../view/format.ts'
import { countsOf, isActive } from '../../view/rollout.ts'
import { signOf } from '../../view/words.ts'

function Tile(props: { title: string; to: string; figure: string; children: ReactNode }) {
  return (
    <section className="tile">
      <h2>
        <Link to={props.to}>{props.title}</Link>
      </h2>
      <p className="figure">{props.figure}</p>
      {props.children}
    </section>
  )
}

export function DeviceTile({ devices }: { devices: Overview['devices'] }) {
  const rows = (['online', 'sleeping', 'offline', 'failed', 'drifting'] as const).filter(
    (key) => devices[key],
  )
  return (
    <Tile title="Devices" to="/devices" figure={count(devices.total)}>
      <ul className="plain">
        {rows.map((key) => (
          <li key={key}>
            <State sign={key === 'drifting' ? { tone: 'warn', icon: 'warn', word: 'drifting' } : signOf(key)}>
              {count(devices[key])} {key}
            </State>
          </li>
        ))}
      </ul>
    </Tile>
  )
}

export function RolloutTile() {
  const rollouts = useQuery(ask.rollouts)
  const active = rollouts.data?.items.filter(isActive) ?? []
  return (
    <Tile title="Active rollouts" to="/rollouts" figure={rollouts.data ? count(active.length) : '–'}>
      <Answer to={rollouts}>
        {({ items }) =>
          active.length === 0 ? (
            <p className="muted">{items.length === 0 ? 'None so far.' : 'Nothing is moving.'}</p>
          ) : (
            <ul className="plain">
              {active.slice(0, 3).map(({ id, model, version, phase, waves }) => (
                <li key={id} className="rollout-line">
                  <Link to={`/rollouts/${encodeURIComponent(id)}`}>{`${model}@${version}`}</Link>{' '}
                  <State of={phase} />
                  <TallyBar of={countsOf(waves)} />
                </li>
              ))}
            </ul>
          )
        }
      </Answer>
    </Tile>
  )
}

export function DriftTile() {
  const drift = useQuery(ask.drift)
  const items = byTime(drift.data?.items ?? []).now
  const alarms = alarmsIn(items)
  // The list has only the worst ones of a large fleet.
  const words = drift.data?.now
  const waiting = words?.['not-enough-data'] ?? withWord(items, 'not enough data')
  const drifting = words?.alarm ?? alarms.length
  const quiet = words?.quiet ?? items.length - waiting - drifting
  const all = drifting + waiting + quiet
  return (
    <Tile title="Drift alarms" to="/drift" figure={drift.data && all > 0 ? `${drifting} of ${all}` : '–'}>
      <Answer to={drift}>
        {() => (
          <ul className="plain">
            {alarms.slice(0, 3).map(({ deviceId, model, version, state, evidence, threshold, slot }) => (
              <li key={`${deviceId} ${slot} ${model} ${version}`}>
                <DeviceLink id={deviceId ?? '–'} /> <span className="muted">{version}</span>
                <Evidence state={state} evidence={evidence} threshold={threshold} />
              </li>
            ))}
            {waiting > 0 && (
              <li>
                <State of="not_enough_data">{waiting} with not enough data</State>
              </li>
            )}
            {all === 0 && <li className="muted">Nothing to judge yet.</li>}
            {quiet > 0 && drifting === 0 && (
              <li>
                <State of="quiet">{quiet} quiet</State>
              </li>
            )}
          </ul>
        )}
      </Answer>
    </Tile>
  )
}

export function EnergyTile({ energy }: { energy: Maybe<Energy> }) {
  return (
    <Tile title="Energy & carbon" to="/energy" figure={energy?.label ? joules(billedJoules(energy)) : '–'}>
      {energy?.label && <p className="figure-second">{grams(energy.grams)} CO₂e</p>}
      <p className="muted">{provenanceText(energy)}</p>
      {factorsOf(energy).map((factor) => (
        <p key={factor.zone} className="muted" title={factorText(factor)}>
          {intensityText(factor)}
        </p>
      ))}
    </Tile>
  )
}
