import type { GateState, Wave } from '../../api.ts'
import { Section } from '../../parts/page.tsx'
import { State } from '../../parts/state.tsx'
import { capital } from '../../view/device.ts'
import { count, micros, number, percent, plural, spaced } from '../../view/format.ts'
import { signOf } from '../../view/words.ts'

/** What each wave is judged by: the value, its limit, and how much it rests on. */
export function Gates({ waves }: { waves: readonly Wave[] }) {
  const judged = waves.filter(({ gates }) => (gates ?? []).length > 0)
  if (judged.length === 0) return null
  return (
    <Section title="Gates">
      {judged.map(({ name, gates }) => (
        <section key={name} className="gates" aria-label={`Gates of wave ${name}`}>
          <h3>{name}</h3>
          <ul className="gate-tiles">
            {gates!.map((gate) => (
              <GateTile key={gate.name} gate={gate} />
            ))}
          </ul>
        </section>
      ))}
    </Section>
  )
}

function GateTile({ gate }: { gate: GateState }) {
  const { name, state, value, threshold, op, n, of } = gate
  return (
    <li className={`gate tone-${signOf(state).tone}`}>
      <span className="gate-head">
        <strong>{titles[name] ?? capital(spaced(name))}</strong> <State of={state} />
      </span>
      <span className="gate-value">{inUnit(name, value)}</span>
      <span className="muted">
        limit {op === '>=' ? '≥' : '≤'} {inUnit(name, threshold)} · n = {count(n)}
        {typeof of === 'number' && ` of ${plural(of, 'device')}`}
      </span>
    </li>
  )
}

const titles: Record<string, string> = { p95_micros: 'p95 latency', sample: 'Smallest sample' }

function inUnit(name: string, value: GateState['value']): string {
  if (name === 'error_rate' || /share|rate$/.test(name)) return percent(value)
  return name.endsWith('micros') ? micros(value) : number(value)
}
