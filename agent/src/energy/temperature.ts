import { readInteger, type Sysfs } from './sysfs.ts'

const zones = '/sys/class/thermal'

/** Degrees Celsius. Boards list several zones in no order that means anything, so the hottest counts; undefined where none says. */
export function hottestCelsius(sysfs: Sysfs): number | undefined {
  const milli = sysfs
    .list(zones)
    .filter((name) => name.startsWith('thermal_zone'))
    .map((name) => readInteger(sysfs, `${zones}/${name}/temp`))
    // Zones that are switched off say 0 or an error in the shape of a number.
    .filter((value) => value !== undefined && value > 0 && value < 200_000) as number[]
  return milli.length === 0 ? undefined : Math.max(...milli) / 1_000
}
