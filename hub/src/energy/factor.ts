import { Fault } from '@godwit/protocol/fault'
import { countryIntensities } from './country-intensities.ts'

/**
 * How much one kilowatt-hour weighs, and who says so. `average` answers "how much", `marginal` answers "when"; the two
 * are never added. `direct` is the plant's smoke, `lifecycle` also its building and its fuel's way.
 */
export interface CarbonFactor {
  readonly zone: string
  /** gCO2e per kWh, 0 or more. */
  readonly gramsPerKilowattHour: number
  readonly type: 'average' | 'marginal'
  readonly basis: 'lifecycle' | 'direct'
  readonly year: number
  readonly source: string
  readonly licence: string
}

/** Used only where nobody said which zone a device stands in. */
export const worldFactor: CarbonFactor = Object.freeze({
  zone: 'WORLD',
  gramsPerKilowattHour: 475,
  type: 'average',
  basis: 'direct',
  year: 2019,
  source: 'IEA, Global Energy & CO2 Status Report 2019, via CodeCarbon',
  licence: 'MIT (CodeCarbon)',
})

/** The bundled factors, by ISO 3166 alpha-3 code. */
export const countryFactors: readonly CarbonFactor[] = countryIntensities.map(
  ([zone, , , gramsPerKilowattHour]) =>
    Object.freeze({
      zone,
      gramsPerKilowattHour,
      type: 'average',
      basis: 'lifecycle',
      year: 2023,
      source: 'Our World in Data, via CodeCarbon',
      licence: 'CC BY 4.0',
    }),
)

/**
 * The factor of a zone: ISO alpha-3 or alpha-2 code or English name, in any case; the world's where no zone is set.
 * A zone that is set but unknown is a mistake to hear about, not a reason to use the world's.
 *
 * @param own factors the operator brought; they win over the bundled ones
 */
export function factorFor(zone: string | undefined, own: readonly CarbonFactor[] = []): CarbonFactor {
  if (zone === undefined) return worldFactor
  const wanted = plain(zone)
  const ours = own.find((factor) => plain(factor.zone) === wanted)
  if (ours) return ours
  if (wanted === worldFactor.zone) return worldFactor
  const index = countryIntensities.findIndex((row) =>
    row.slice(0, 3).some((word) => plain(String(word)) === wanted),
  )
  const found = countryFactors[index]
  if (found) return found
  throw new Fault('unknown-zone', unknownZone(zone, own))
}

/** Checks a factor that an operator brings: refuses a number without its provenance. */
export function checkFactor(factor: CarbonFactor): CarbonFactor {
  const wrong: string[] = []
  if (!(Number.isFinite(factor.gramsPerKilowattHour) && factor.gramsPerKilowattHour >= 0)) {
    wrong.push(`gramsPerKilowattHour must be a number from 0 up, not ${factor.gramsPerKilowattHour}`)
  }
  if (factor.type !== 'average' && factor.type !== 'marginal') wrong.push('type must be average or marginal')
  if (factor.basis !== 'lifecycle' && factor.basis !== 'direct')
    wrong.push('basis must be lifecycle or direct')
  if (!Number.isInteger(factor.year) || factor.year < 1990)
    wrong.push(`year must be a year, not ${factor.year}`)
  for (const key of ['zone', 'source', 'licence'] as const) {
    if (typeof factor[key] !== 'string' || factor[key].trim() === '') wrong.push(`${key} must not be empty`)
  }
  if (wrong.length > 0)
    throw new Fault('bad-carbon-factor', `carbon factor of ${factor.zone}: ${wrong.join('; ')}`)
  return factor
}

function plain(text: string): string {
  return text.trim().toUpperCase()
}

function unknownZone(zone: string, own: readonly CarbonFactor[]): string {
  const known = [
    ...own.map((factor) => ({ words: [factor.zone], shown: factor.zone })),
    ...countryIntensities.map(([alpha3, alpha2, name]) => ({
      words: [alpha3, alpha2, name],
      shown: `${alpha3} (${name})`,
    })),
  ]
  const near = known.filter(({ words }) => words.some((word) => isNear(plain(zone), plain(word))))
  const advice =
    near.length > 0
      ? `near it: ${near.map(({ shown }) => shown).join(', ')}`
      : `known: ${known.map(({ shown }) => shown).join(', ')}`
  return `no carbon factor for zone ${JSON.stringify(zone)}; ${advice}; or set a factor of your own, or WORLD`
}

/** The letters of a code in another order, one slip in a code, two in a name, or the beginning of a name. */
function isNear(wanted: string, word: string): boolean {
  if (wanted.length >= 3 && word.length > 3 && word.startsWith(wanted)) return true
  if (word.length === 3 && sortedLetters(wanted) === sortedLetters(word)) return true
  return slips(wanted, word) <= (word.length > 3 ? 2 : 1) && wanted.length > 1 && word.length > 2
}

function sortedLetters(word: string): string {
  return [...word].sort().join('')
}

/** Edit distance: insertions, deletions, replacements. Inputs are a few letters long, the longest is cut. */
function slips(from: string, to: string): number {
  const [a, b] = [from.slice(0, 32), to.slice(0, 32)]
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
