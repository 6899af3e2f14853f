import { existsSync } from 'node:fs'
import { localMoment } from '@godwit/protocol/install-window'
import { readInteger, type Sysfs } from '../../energy/sysfs.ts'
import type { TrustedTime } from '../clock.ts'
import type { Conditions } from './hindrance.ts'

const supplies = '/sys/class/power_supply'
const zones = '/sys/class/thermal'

/** Reads what decides whether this is a moment to install. Costs a few small files. */
export function conditionsNow(
  sysfs: Sysfs,
  time: TrustedTime,
  { lockFile, timeZone }: { lockFile?: string; timeZone?: string },
): Conditions {
  const batteryPercent = emptiestBatteryPercent(sysfs)
  const temperatureCelsius = hottestCelsius(sysfs)
  return {
    moment: time.isBehind ? undefined : localMoment(time.nowMs(), timeZone),
    isLocked: lockFile !== undefined && existsSync(lockFile),
    ...(batteryPercent !== undefined && { batteryPercent }),
    ...(temperatureCelsius !== undefined && { temperatureCelsius }),
  }
}

/** Of the batteries that are being emptied; undefined on mains. */
function emptiestBatteryPercent(sysfs: Sysfs): number | undefined {
  const percents = sysfs
    .list(supplies)
    .filter((name) => sysfs.readFile(`${supplies}/${name}/type`) === 'Battery')
    .filter((name) => sysfs.readFile(`${supplies}/${name}/scope`) !== 'Device')
    .filter((name) => sysfs.readFile(`${supplies}/${name}/status`) === 'Discharging')
    .map((name) => readInteger(sysfs, `${supplies}/${name}/capacity`))
    .filter((percent) => percent !== undefined)
  return percents.length === 0 ? undefined : Math.min(...percents)
}

/** Boards list several zones in no order that means anything, so the hottest counts. */
function hottestCelsius(sysfs: Sysfs): number | undefined {
  const milli = sysfs
    .list(zones)
    .filter((name) => name.startsWith('thermal_zone'))
    .map((name) => readInteger(sysfs, `${zones}/${name}/temp`))
    // Zones that are switched off say 0 or an error in the shape of a number.
    .filter((value) => value !== undefined && value > 0 && value < 200_000) as number[]
  return milli.length === 0 ? undefined : Math.max(...milli) / 1_000
}
