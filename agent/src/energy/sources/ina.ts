import type { Opened, Source } from '../meter.ts'
import { readInteger, type Sysfs } from '../sysfs.ts'

const DRIVERS = '/sys/bus/i2c/drivers'

/** Only the module's input: every other rail lies behind it, and adding them would count energy twice. */
const INPUT_RAILS = new Set(['VDD_IN', 'POM_5V_IN', 'VIN'])

/**
 * The INA3221 on Jetson modules reads 0 to 20 % low (Orin Nano: 2.18 W where a wall meter saw 2.6 W); averages 0.1 s.
 */
const SIGMA_FACTOR = 1.1
const PERIOD_MS = 100

export const ina: Source = {
  name: 'ina3221',
  open(sysfs) {
    for (const chip of chips(sysfs)) {
      const found = hwmonRail(sysfs, chip) ?? iioRail(sysfs, chip)
      if (found) return found
    }
    return { because: 'no INA3221 with a module input rail (VDD_IN, POM_5V_IN, VIN)' }
  },
}

function chips(sysfs: Sysfs): readonly string[] {
  return sysfs
    .list(DRIVERS)
    .filter((driver) => driver.startsWith('ina3221'))
    .flatMap((driver) => sysfs.list(`${DRIVERS}/${driver}`).map((chip) => `${DRIVERS}/${driver}/${chip}`))
}

/**
 * Current kernels: millivolts times milliamperes. Channels 1 to 3 are wires; channel 7 is the driver's sum of shunt
 * voltages and bears a label like the others. An unconnected channel is labelled NC.
 */
function hwmonRail(sysfs: Sysfs, chip: string): Opened | undefined {
  for (const hwmon of sysfs.list(`${chip}/hwmon`)) {
    for (const channel of [1, 2, 3]) {
      const base = `${chip}/hwmon/${hwmon}`
      const rail = sysfs.readFile(`${base}/in${channel}_label`)
      if (rail === undefined || !INPUT_RAILS.has(rail)) continue
      return inputRail(rail, () => {
        const millivolts = readInteger(sysfs, `${base}/in${channel}_input`)
        const milliamperes = readInteger(sysfs, `${base}/curr${channel}_input`)
        if (millivolts === undefined || milliamperes === undefined) return undefined
        return (millivolts * milliamperes) / 1e6
      })
    }
  }
  return undefined
}

/** JetPack 4: an iio device that gives milliwatts, unlike hwmon, where power is in microwatts. */
function iioRail(sysfs: Sysfs, chip: string): Opened | undefined {
  for (const device of sysfs.list(chip).filter((entry) => entry.startsWith('iio:device'))) {
    for (const channel of [0, 1, 2]) {
      const rail = sysfs.readFile(`${chip}/${device}/rail_name_${channel}`)
      if (rail === undefined || !INPUT_RAILS.has(rail)) continue
      return inputRail(rail, () => {
        const milliwatts = readInteger(sysfs, `${chip}/${device}/in_power${channel}_input`)
        return milliwatts === undefined ? undefined : milliwatts / 1000
      })
    }
  }
  return undefined
}

function inputRail(rail: string, readWatts: () => number | undefined): Opened {
  return {
    meter: {
      source: `ina3221 ${rail}`,
      label: 'measured',
      scope: 'device',
      sigmaFactor: SIGMA_FACTOR,
      periodMs: PERIOD_MS,
      read() {
        const watts = readWatts()
        // The module runs this very line, so it draws something: 0 W and less are a bus error.
        return watts !== undefined && watts > 0 ? { kind: 'instant', watts } : undefined
      },
    },
  }
}
