import type { Meter, Source } from './meter.ts'
import { battery } from './sources/battery.ts'
import { board } from './sources/board.ts'
import { constant } from './sources/constant.ts'
import { hwmon } from './sources/hwmon.ts'
import { ina } from './sources/ina.ts'
import { rapl } from './sources/rapl.ts'
import type { Sysfs } from './sysfs.ts'

/**
 * Best first: the whole device measured, then a part of it measured, then a model, then an assumption. An external
 * meter would stand before all of them, a GPU's counter and the Pi 5's PMIC after RAPL.
 */
export const sources: readonly Source[] = [ina, hwmon, battery, rapl, board, constant]

export interface Choice {
  readonly meter: Meter
  /** Why the better ones were not taken, for `doctor` and the log. */
  readonly passedOver: readonly { readonly source: string; readonly because: string }[]
}

/** Tries one real read, not just the presence of a driver: several sensors open and then never answer. */
export function probe(sysfs: Sysfs, candidates: readonly Source[] = sources): Choice {
  const passedOver: { source: string; because: string }[] = []
  for (const source of candidates) {
    const opened = source.open(sysfs)
    if ('because' in opened) passedOver.push({ source: source.name, because: opened.because })
    else if (opened.meter.read({ busyShare: 0, cores: 1 }) === undefined) {
      passedOver.push({ source: source.name, because: 'present, but a read gave nothing' })
    } else return { meter: opened.meter, passedOver }
  }
  const last = constant.open(sysfs)
  if ('because' in last) throw new Error('the constant source is always there')
  return { meter: last.meter, passedOver }
}
