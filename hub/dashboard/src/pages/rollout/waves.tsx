import type { Wave } from '../../api.ts'
import { State } from '../../parts/state.tsx'
import { Ago } from '../../parts/time.tsx'
import { plural } from '../../view/format.ts'
import { countsOf, totalOf, withTone } from '../../view/rollout.ts'
import { signOf } from '../../view/words.ts'

/** The waves in their order, as one strip. */
export function Waves({ waves }: { waves: readonly Wave[] }) {
  return (
    <ol className="waves" aria-label="Waves">
      {waves.map((wave) => {
        const { name, state, since, counts } = wave
        const devices = countsOf([wave])
        return (
          <li key={name} className={`wave tone-${signOf(state).tone}`}>
            <strong className="wave-name">{name}</strong>
            <State of={state} />
            <span className="muted">
              {counts ? `${withTone(devices, 'ok')} of ${plural(totalOf(devices), 'device')}` : '–'}
              {since ? ' · ' : ''}
              {since ? <Ago at={since} /> : ''}
            </span>
          </li>
        )
      })}
    </ol>
  )
}
