import { existsSync } from 'node:fs'
import { localMoment } from '@godwit/protocol/install-window'
import { readInteger, type Sysfs } from '../../energy/sysfs.ts'
import { hottestCelsius } from '../../energy/temperature.ts'
import type { TrustedTime } from '../clock.ts'
import type { Conditions } from './hindrance.ts'

const supplies = '/sys/class/power_supply'

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
