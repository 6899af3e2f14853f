/**
 * Yearly average carbon intensity of electricity by country, gCO2e per kWh, 2023.
 *
 * Source: Our World in Data (Ember; Energy Institute), as collected by CodeCarbon (global_energy_mix.json).
 * Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. Rounded as published there; nothing else changed.
 * Tables under share-alike licences stay out, so that their terms do not reach this repository.
 */
export const countryIntensities: readonly (readonly [
  alpha3: string,
  alpha2: string,
  name: string,
  grams: number,
])[] = [
  ['AUS', 'AU', 'Australia', 548.7],
  ['BRA', 'BR', 'Brazil', 98.3],
  ['CAN', 'CA', 'Canada', 170.0],
  ['CHN', 'CN', 'China', 582.3],
  ['DEU', 'DE', 'Germany', 380.95],
  ['FRA', 'FR', 'France', 56.04],
  ['GBR', 'GB', 'United Kingdom', 237.6],
  ['IND', 'IN', 'India', 713.4],
  ['JPN', 'JP', 'Japan', 485.4],
  ['NOR', 'NO', 'Norway', 30.1],
  ['POL', 'PL', 'Poland', 661.9],
  ['SWE', 'SE', 'Sweden', 40.7],
  ['USA', 'US', 'United States', 369.5],
  ['ZAF', 'ZA', 'South Africa', 707.7],
]
