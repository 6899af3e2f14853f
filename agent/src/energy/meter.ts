import type { EnergyFigure } from '@godwit/protocol/messages/telemetry'
import type { CpuLoad } from './cpu.ts'
import type { Sysfs } from './sysfs.ts'

/** How a number came about, best first. A mixture carries the worst label in it. */
export type EnergyLabel = EnergyFigure['label']
const labels: readonly EnergyLabel[] = ['measured', 'modelled', 'assumed']

export function worstLabel(first: EnergyLabel, ...others: readonly EnergyLabel[]): EnergyLabel {
  return others.reduce(
    (worst, label) => (labels.indexOf(label) > labels.indexOf(worst) ? label : worst),
    first,
  )
}

/** What the number covers. Scopes contain each other, so figures of one device are never added across scopes. */
export type EnergyScope = 'device' | 'board' | 'cpu' | 'gpu'

/** One cumulative counter, in joules. It starts again at 0 after `rangeJoules`; 0 means the range is unknown. */
export interface Counter {
  readonly joules: number
  readonly rangeJoules: number
}

/**
 * - `counters`: joules since some start; differences are energy. One entry per domain, always in the same order.
 * - `instant`: watts right now.
 * - `interval`: mean watts since the last sample (what a model of CPU load gives).
 */
export type MeterReading =
  | { readonly kind: 'counters'; readonly counters: readonly Counter[] }
  | { readonly kind: 'instant'; readonly watts: number }
  | { readonly kind: 'interval'; readonly watts: number }

export interface MeterTraits {
  /** Where the number comes from, for the person who audits it: `rapl package-0+dram`. */
  readonly source: string
  readonly label: EnergyLabel
  readonly scope: EnergyScope
  /** One standard deviation as a factor (1.4 means x/÷ 1.4); 1 where the error is a scope gap and not noise. */
  readonly sigmaFactor: number
  /** How often the sensor has news, in ms; per-inference figures need twenty of these. */
  readonly periodMs: number
  /** Highest power a counter can see, in W: tells how long a wrap may go unnoticed. */
  readonly wattsMax?: number
  /** Idle power in W where the source is a model that knows it; sensors leave it out. */
  readonly idleWatts?: number
}

/** The port. A failed read is undefined, never 0. */
export interface Meter extends MeterTraits {
  read(load: CpuLoad | undefined): MeterReading | undefined
}

export type Opened = { readonly meter: Meter } | { readonly because: string }

/** One kind of source; `open` looks whether this device has it and says why not. */
export interface Source {
  readonly name: string
  open(sysfs: Sysfs): Opened
}
