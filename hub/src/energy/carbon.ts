import { Fault } from '@godwit/protocol/fault'
import { JOULES_PER_KILOWATT_HOUR } from '@godwit/protocol/units'
import { type EnergyLabel, type EnergySum, worstLabel } from './energy-sum.ts'
import { type CarbonFactor, worldFactor } from './factor.ts'

/** Grams of CO2e with everything an auditor asks for. */
export interface CarbonFigure {
  /** Energy above idle, times the factor. */
  readonly activeGrams: number
  /** The runner's share of the idle bill, times the factor. */
  readonly idleShareGrams: number
  readonly grams: number
  /** Undefined where there was no energy to judge. Never `measured`: a yearly average is not a measurement. */
  readonly label: EnergyLabel | undefined
  readonly coverage: number
  /** Of the energy alone; the factor's own error is not known. */
  readonly sigmaFactor: number
  readonly factors: readonly CarbonFactor[]
}

/** Operational emissions in gCO2e. */
export function gramsOf(joules: number, factor: CarbonFactor): number {
  return (joules / JOULES_PER_KILOWATT_HOUR) * factor.gramsPerKilowattHour
}

export function carbonOf(energy: EnergySum, factor: CarbonFactor): CarbonFigure {
  const activeGrams = gramsOf(energy.joules, factor)
  const idleShareGrams = gramsOf(energy.idleShareJoules, factor)
  return {
    activeGrams,
    idleShareGrams,
    grams: activeGrams + idleShareGrams,
    label:
      energy.label && worstLabel(energy.label, factor.zone === worldFactor.zone ? 'assumed' : 'modelled'),
    coverage: energy.coverage,
    sigmaFactor: energy.sigmaFactor,
    factors: [factor],
  }
}

/**
 * Adds what several zones emitted.
 *
 * @param parts each with the length of the time it covers, in ms, which weighs its coverage
 */
export function sumCarbon(parts: readonly { carbon: CarbonFigure; windowMs: number }[]): CarbonFigure {
  const factors = [...new Set(parts.flatMap(({ carbon }) => carbon.factors))]
  const types = [...new Set(factors.map((factor) => factor.type))]
  if (types.length > 1) {
    throw new Fault('mixed-carbon-factors', `cannot add average and marginal emissions (${zonesOf(factors)})`)
  }
  const total = (value: (carbon: CarbonFigure) => number) =>
    parts.reduce((sum, part) => sum + value(part.carbon), 0)
  const timeMs = parts.reduce((sum, part) => sum + part.windowMs, 0)
  const grams = total((carbon) => carbon.grams)
  const [first, ...others] = parts.flatMap(({ carbon }) => carbon.label ?? [])
  return {
    activeGrams: total((carbon) => carbon.activeGrams),
    idleShareGrams: total((carbon) => carbon.idleShareGrams),
    grams,
    label: first && worstLabel(first, ...others),
    coverage:
      timeMs > 0 ? parts.reduce((sum, part) => sum + part.carbon.coverage * part.windowMs, 0) / timeMs : 0,
    sigmaFactor: grams > 0 ? total((carbon) => carbon.sigmaFactor * carbon.grams) / grams : 1,
    factors,
  }
}

function zonesOf(factors: readonly CarbonFactor[]): string {
  return factors.map(({ zone, type }) => `${zone} ${type}`).join(', ')
}

/**
 * Software Carbon Intensity, gCO2e per inference: (E * I + M) / R. Undefined without inferences.
 *
 * @param work.embodiedGrams M, the share of making the device; left out it is 0 and the result is operational only
 */
export function sci(work: {
  operationalGrams: number
  embodiedGrams?: number
  inferences: number
}): number | undefined {
  if (work.inferences <= 0) return undefined
  return (work.operationalGrams + (work.embodiedGrams ?? 0)) / work.inferences
}

/**
 * M by time: the part of a device's embodied emissions that a stretch of its life stands for, in gCO2e.
 *
 * @param share part of the device that is reserved for this work, 0..1
 */
export function embodiedGrams(
  device: { totalGrams: number; lifeMs: number },
  reservedMs: number,
  share = 1,
): number {
  return device.totalGrams * (reservedMs / device.lifeMs) * share
}
