import type { Source } from '../meter.ts'
import { readInteger, type Sysfs } from '../sysfs.ts'

const ROOT = '/sys/class/power_supply'

/** Fuel gauges are coarse: x1.1, and windows of ten minutes at least (twenty periods). Own assumption. */
const SIGMA_FACTOR = 1.1
const PERIOD_MS = 30_000

/** The whole device, while it lives on its battery. On mains the gauge sees charging, so there is nothing to read. */
export const battery: Source = {
  name: 'battery',
  open(sysfs) {
    if (batteries(sysfs).length === 0) return { because: 'no system battery' }
    if (watts(sysfs) === undefined) return { because: 'the battery is not discharging' }
    return {
      meter: {
        source: `battery ${batteries(sysfs).join('+')}`,
        label: 'measured',
        scope: 'device',
        sigmaFactor: SIGMA_FACTOR,
        periodMs: PERIOD_MS,
        read() {
          const now = watts(sysfs)
          return now === undefined ? undefined : { kind: 'instant', watts: now }
        },
      },
    }
  },
}

/**
 * UCSI and Type-C entries tell what was negotiated, not what is drawn; scope `Device` is a mouse's or pen's battery.
 */
function batteries(sysfs: Sysfs): readonly string[] {
  return sysfs.list(ROOT).filter((entry) => {
    const file = (name: string) => sysfs.readFile(`${ROOT}/${entry}/${name}`)
    return file('type') === 'Battery' && file('scope') !== 'Device' && !/ucsi|typec|tcpm/i.test(entry)
  })
}

function watts(sysfs: Sysfs): number | undefined {
  const all = batteries(sysfs).map((entry) => `${ROOT}/${entry}`)
  const statuses = all.map((path) => sysfs.readFile(`${path}/status`))
  // With two batteries one drains while the other waits; if any is charged, a charger feeds the device too.
  if (statuses.includes('Charging')) return undefined
  const draining = all.filter((_, i) => statuses[i] === 'Discharging').map((path) => drawnWatts(sysfs, path))
  const total = draining.reduce<number | undefined>(
    (sum, drawn) => (sum === undefined || drawn === undefined ? undefined : sum + drawn),
    0,
  )
  // A device that reads this draws power: 0 is a gauge that has not woken up yet.
  return total !== undefined && total > 0 ? total : undefined
}

/** Microwatts, or microamperes times microvolts. Some drivers count discharge as negative: only the size matters here. */
function drawnWatts(sysfs: Sysfs, path: string): number | undefined {
  const microwatts = readInteger(sysfs, `${path}/power_now`)
  if (microwatts !== undefined) return Math.abs(microwatts) / 1e6
  const microamperes = readInteger(sysfs, `${path}/current_now`)
  const microvolts = readInteger(sysfs, `${path}/voltage_now`)
  if (microamperes === undefined || microvolts === undefined) return undefined
  return (Math.abs(microamperes) / 1e6) * (microvolts / 1e6)
}
