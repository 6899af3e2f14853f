import type { Energy, Maybe } from '../../api.ts'
import { Computed } from '../../parts/computed.tsx'
import { Facts } from '../../parts/table.tsx'
import { billedJoules, joulesPerInference, provenanceText } from '../../view/energy.ts'
import { count, grams, joules } from '../../view/format.ts'

export function DeviceEnergy({ energy }: { energy: Maybe<Energy> }) {
  if (!energy?.label) return <p className="empty">No energy figure yet.</p>
  return (
    <>
      <Facts
        of={[
          ['Energy', joules(billedJoules(energy))],
          ['Carbon', `${grams(energy.grams)} CO₂e`],
          ['Per inference, above idle', joules(joulesPerInference(energy))],
          ['Inferences', count(energy.inferences)],
          ['How', provenanceText(energy)],
        ]}
      />
      <Computed energy={energy} />
    </>
  )
}
