import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { carbonOf, embodiedGrams, gramsOf, sci, sumCarbon } from '@godwit/hub/energy/carbon'
import { type EnergyOfWindow, sumEnergy } from '@godwit/hub/energy/energy-sum'
import { checkFactor, countryFactors, factorFor, worldFactor } from '@godwit/hub/energy/factor'
import { Fault } from '@godwit/protocol/fault'
import { describe, expect, test } from 'vitest'

const path = fileURLToPath(new URL('../../../../shared/vectors/drift-energy.json', import.meta.url))
type Entry = {
  name: string
  input: Record<string, number & string>
  expected: number
  expected_g: number
  expected_kg: number
  exact: number
}
const vectors = existsSync(path)
  ? (JSON.parse(readFileSync(path, 'utf8')) as { energy: Entry[] }).energy
  : undefined
const vector = (name: string) => vectors!.find((entry) => entry.name === name)!

const window: EnergyOfWindow = {
  joules: 30,
  idleShareJoules: 10,
  unattributedJoules: 60,
  label: 'measured',
  source: 'rapl package-0',
  coverage: 1,
  sigmaFactor: 1,
  windowMs: 60_000,
}
const marginal = {
  ...factorFor('FRA'),
  zone: 'FR-marginal',
  type: 'marginal' as const,
  gramsPerKilowattHour: 158,
}

describe('the sum of windows', () => {
  test('carries the worst label and every source', () => {
    const sum = sumEnergy([
      window,
      { ...window, label: 'assumed', source: 'constant' },
      { ...window, label: 'modelled' },
    ])
    expect(sum).toMatchObject({
      joules: 90,
      idleShareJoules: 30,
      unattributedJoules: 180,
      label: 'assumed',
      windows: 3,
    })
    expect(sum.sources).toEqual(['constant', 'rapl package-0'])
  })

  test('weighs coverage by time and extrapolates nothing', () => {
    const sum = sumEnergy([
      window,
      { ...window, joules: 0, idleShareJoules: 0, unattributedJoules: 0, coverage: 0, windowMs: 180_000 },
    ])
    expect(sum).toMatchObject({ joules: 30, coverage: 0.25, windowMs: 240_000, label: 'measured' })
  })

  test('a window of nothing but gap does not taint the label', () => {
    expect(sumEnergy([window, { ...window, joules: 0, label: 'assumed', coverage: 0 }]).label).toBe(
      'measured',
    )
  })

  test('refuses figures that are negative or no numbers, and says how many', () => {
    const sum = sumEnergy([
      window,
      { ...window, joules: -1e9 },
      { ...window, joules: Number.NaN },
      { ...window, coverage: 2 },
    ])
    expect(sum).toMatchObject({ joules: 30, windows: 1, refused: 3 })
  })

  test('errors of the same kind do not average out', () => {
    expect(
      sumEnergy([
        { ...window, sigmaFactor: 3 },
        { ...window, sigmaFactor: 1 },
      ]).sigmaFactor,
    ).toBe(2)
  })

  test('of nothing is nothing, without a label', () => {
    expect(sumEnergy([])).toMatchObject({ joules: 0, coverage: 0, sigmaFactor: 1, label: undefined })
  })
})

describe('carbon', () => {
  test('one kilowatt-hour weighs the factor of its zone', () => {
    expect(gramsOf(3_600_000, factorFor('DEU'))).toBe(380.95)
  })

  test('a yearly average makes a measurement a model, and the world average makes it an assumption', () => {
    const energy = sumEnergy([window])
    expect(carbonOf(energy, factorFor('FR')).label).toBe('modelled')
    expect(carbonOf(energy, factorFor(undefined)).label).toBe('assumed')
    expect(carbonOf(sumEnergy([]), factorFor('FR')).label).toBeUndefined()
  })

  test('idle is part of the bill and can be seen apart', () => {
    const figure = carbonOf(sumEnergy([window]), { ...factorFor('DEU'), gramsPerKilowattHour: 360_000 })
    expect(figure).toMatchObject({ activeGrams: 3, idleShareGrams: 1, grams: 4 })
  })

  test('zones may be added; average and marginal may not', () => {
    const energy = sumEnergy([window])
    const part = (factor: typeof worldFactor) => ({
      carbon: carbonOf(energy, factor),
      windowMs: energy.windowMs,
    })
    const sum = sumCarbon([part(factorFor('DEU')), part(factorFor('POL'))])
    expect(sum.grams).toBeCloseTo((40 / 3.6e6) * (380.95 + 661.9), 12)
    expect(sum).toMatchObject({ label: 'modelled', coverage: 1 })
    expect(sum.factors.map(({ zone }) => zone)).toEqual(['DEU', 'POL'])
    expect(() => sumCarbon([part(factorFor('FRA')), part(marginal)])).toThrow(
      /cannot add average and marginal/,
    )
  })

  test('SCI is energy and making, per inference', () => {
    expect(sci({ operationalGrams: 4, inferences: 100 })).toBe(0.04)
    expect(sci({ operationalGrams: 4, embodiedGrams: 1, inferences: 100 })).toBe(0.05)
    expect(sci({ operationalGrams: 4, inferences: 0 })).toBeUndefined()
  })

  test.skipIf(!vectors)('agrees with the public vectors', () => {
    const operational = vector('operational carbon')
    const factor = { ...worldFactor, gramsPerKilowattHour: operational.input['intensity']! }
    expect(gramsOf(operational.input['energy_kwh']! * 3.6e6, factor)).toBeCloseTo(operational.expected_g, 15)
    const { input, expected } = vector('SCI')
    expect(sci({ operationalGrams: input['carbon_g']!, inferences: input['functional_units']! })).toBeCloseTo(
      expected,
      15,
    )
    const hourMs = 3_600_000
    const made = vector('SCI embodied time share')
    expect(embodiedGrams({ totalGrams: 1e6, lifeMs: 4 * 365 * 24 * hourMs }, hourMs)).toBeCloseTo(
      made.exact,
      9,
    )
    const france = vector('CodeCarbon country')
    expect(gramsOf(3.6e6, factorFor(france.input['iso']!))).toBeCloseTo(france.expected_kg * 1000, 9)
    expect(gramsOf(3.6e6, factorFor(undefined))).toBe(vector('CodeCarbon unknown country').expected_kg * 1000)
    expect(gramsOf(1, { ...worldFactor, gramsPerKilowattHour: 1 })).toBe(vector('J to kWh (exact)').expected)
  })
})

describe('zones', () => {
  test('go by alpha-3, alpha-2 or name, in any case', () => {
    expect(['SWE', 'se', ' Sweden '].map((zone) => factorFor(zone).zone)).toEqual(['SWE', 'SWE', 'SWE'])
    expect(factorFor('world')).toBe(worldFactor)
  })

  test('unknown ones are refused with the near ones, not replaced by the world', () => {
    expect(() => factorFor('GRB')).toThrow(
      /no carbon factor for zone "GRB"; near it: .*GBR \(United Kingdom\)/,
    )
    expect(() => factorFor('Germny')).toThrow(/DEU \(Germany\)/)
    expect(() => factorFor('unit')).toThrow(/GBR \(United Kingdom\), USA \(United States\)/)
    expect(() => factorFor('??')).toThrow(/known: AUS \(Australia\), .*WORLD/)
    expect(() => factorFor('')).toThrow(Fault)
  })

  test("the operator's own factor wins", () => {
    const own = { ...factorFor('DEU'), gramsPerKilowattHour: 20, source: 'own solar roof' }
    expect(factorFor('deu', [own])).toBe(own)
  })

  test('every bundled factor has its provenance and passes the check for own ones', () => {
    for (const factor of [...countryFactors, worldFactor]) expect(checkFactor(factor)).toBe(factor)
    expect(countryFactors.length).toBe(14)
  })

  test('a factor without provenance is refused with all its mistakes', () => {
    expect(() => checkFactor({ ...marginal, gramsPerKilowattHour: -1, source: '', licence: ' ' })).toThrow(
      /from 0 up, not -1; source must not be empty; licence must not be empty/,
    )
  })
})
