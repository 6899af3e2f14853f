import type { Energy } from '../api.ts'
import { carbonFormula, factorsOf, factorText, provenanceText, spreadText } from '../view/energy.ts'
import { count, duration, joules } from '../view/format.ts'
import { Facts } from './table.tsx'

/** No number without its provenance. */
export function Computed({ energy, of }: { energy: Energy; of?: string }) {
  const formula = carbonFormula(energy)
  return (
    <details>
      <summary>How is {of ?? 'this'} computed?</summary>
      {formula && <p className="formula">{formula}</p>}
      <Facts
        of={[
          ['Above idle', joules(energy.joules)],
          ['Share of idle', joules(energy.idleShareJoules)],
          ['Not attributed', joules(energy.unattributedJoules)],
          ['Source', provenanceText(energy)],
          ['Label of the grams', energy.gramsLabel ?? '–'],
          ['One sigma', spreadText(energy.sigmaFactor)],
          ['From windows', count(energy.windows)],
          ['Over', duration(energy.windowMs)],
          ['Factor', factorsOf(energy).map(factorText).join('; ') || '–'],
        ]}
      />
      <p className="muted">
        Energy is what the source says, minus idle, shared out by the CPU time of the runner; the idle share
        is the runner's part of what the device draws while it does nothing. Time without a reading adds no
        joules and lowers the coverage. A sum is called by its worst label.
      </p>
    </details>
  )
}
