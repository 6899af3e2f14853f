import type { EnergyGroup } from './rollup.ts'

/** Joules and grams with all that an auditor asks for. `null` where nothing was measured: never a zero for unknown. */
export function energyView({
  energy,
  carbon,
  inferences,
  windows,
}: Pick<EnergyGroup, 'energy' | 'carbon' | 'inferences' | 'windows'>) {
  const isKnown = energy.label !== undefined
  return {
    joules: isKnown ? energy.joules : null,
    idleShareJoules: isKnown ? energy.idleShareJoules : null,
    unattributedJoules: isKnown ? energy.unattributedJoules : null,
    grams: isKnown ? carbon.grams : null,
    /** Of the joules. */
    label: energy.label ?? null,
    /** Of the grams: a yearly average of a grid is never a measurement. */
    gramsLabel: carbon.label ?? null,
    coverage: isKnown ? energy.coverage : null,
    sigmaFactor: isKnown ? energy.sigmaFactor : null,
    sources: energy.sources,
    windowMs: energy.windowMs,
    windows,
    inferences,
    factor: carbon.factors[0] ?? null,
  }
}
