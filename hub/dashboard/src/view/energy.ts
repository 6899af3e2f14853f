import type { CarbonFactor, Energy, EnergyGroup, EnergyReport, Maybe } from '../api.ts'
import { grams, number, percent, unknown } from './format.ts'

export function factorsOf(energy: Maybe<Energy>): CarbonFactor[] {
  return energy?.factors ?? (energy?.factor ? [energy.factor] : [])
}

/** "WORLD 475 g/kWh (2019)": where there is no room for where it comes from, and a way to the page that says so. */
export function intensityText({ zone, gramsPerKilowattHour, year }: CarbonFactor): string {
  return `${zone} ${number(gramsPerKilowattHour)} g/kWh${year ? ` (${year})` : ''}`
}

/** "WORLD 475 g/kWh, average, IEA 2019": whatever is known of where the figure comes from. */
export function factorText(factor: CarbonFactor): string {
  const { zone, gramsPerKilowattHour, type, basis, source, year } = factor
  const said = source && year && !source.includes(String(year)) ? `${source}, ${year}` : (source ?? year)
  return [`${zone} ${number(gramsPerKilowattHour)} g/kWh`, [basis, type].filter(Boolean).join(' '), said]
    .filter(Boolean)
    .join(', ')
}

/** How the figure was come by, with the sources: "assumed: constant 4 W per busy core". */
export function provenanceText(energy: Maybe<Energy>): string {
  if (!energy?.label) return 'no figure yet'
  const sources = energy.sources ?? (energy.source ? [energy.source] : [])
  const covered = typeof energy.coverage === 'number' ? `, ${percent(energy.coverage)} covered` : ''
  return `${energy.label}${sources.length > 0 ? `: ${sources.join(', ')}` : ''}${covered}`
}

/** Above idle plus the share of the idle bill: what the grams are made from. */
export function billedJoules(energy: Maybe<Energy>): number | undefined {
  if (typeof energy?.joules !== 'number') return undefined
  return energy.joules + (energy.idleShareJoules ?? 0)
}

export function joulesPerInference(energy: Maybe<Energy>): number | undefined {
  const { joules, inferences } = energy ?? {}
  return typeof joules === 'number' && typeof inferences === 'number' && inferences > 0
    ? joules / inferences
    : undefined
}

/** "× ÷ 3": half to double reads better than a sigma. */
export function spreadText(sigmaFactor: Maybe<number>): string {
  return typeof sigmaFactor === 'number' && sigmaFactor > 1 ? `×/÷ ${number(sigmaFactor)}` : unknown
}

/** The formula with the numbers filled in, as an auditor would check it on paper; undefined when a number is missing. */
export function carbonFormula(energy: Maybe<Energy>): string | undefined {
  const [factor, ...others] = factorsOf(energy)
  const billed = billedJoules(energy)
  if (!energy || !factor || others.length > 0 || billed === undefined) return undefined
  const idle =
    typeof energy.idleShareJoules === 'number' ? ` + ${number(energy.idleShareJoules)} J idle share` : ''
  return (
    `(${number(energy.joules)} J above idle${idle}) ÷ 3 600 000 J/kWh × ${number(factor.gramsPerKilowattHour)} g/kWh ` +
    `= ${grams((billed / 3_600_000) * factor.gramsPerKilowattHour)}`
  )
}

/** Largest first; the report's factor stands for a group that names none. */
export function groupsOf(report: EnergyReport | undefined): EnergyGroup[] {
  const groups = (report?.items ?? []).map((group) =>
    factorsOf(group).length === 0 && report?.factor ? { ...group, factor: report.factor } : group,
  )
  return groups.sort((a, b) => (billedJoules(b) ?? -1) - (billedJoules(a) ?? -1))
}
