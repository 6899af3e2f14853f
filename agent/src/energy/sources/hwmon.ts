import type { EnergyScope, MeterReading, Source } from '../meter.ts'
import { readInteger, type Sysfs } from '../sysfs.ts'

const ROOT = '/sys/class/hwmon'

/** What a rail feeds depends on the board; own assumption. */
const SIGMA_FACTOR = 1.1
const PERIOD_MS_DEFAULT = 1000
const WATTS_MAX = 1000

/** INA3221 has its own source; the rest repeat a charger's or battery's contract, which is not what is drawn. */
const NOT_OURS = /^(ina3221|ucsi|typec|tcpm|BAT\d|ADP\d|AC\d?$)|_psy/i

interface Chip {
  readonly path: string
  readonly name: string
  readonly scope: EnergyScope
  readonly channel: string
  readonly read: () => MeterReading | undefined
}

/** Sensor chips under the hwmon ABI: energy in microjoules, power in microwatts, or millivolts times milliamperes. */
export const hwmon: Source = {
  name: 'hwmon',
  open(sysfs) {
    const readable = sysfs
      .list(ROOT)
      .map((entry) => findChip(sysfs, `${ROOT}/${entry}`))
      .filter((chip) => chip?.read() !== undefined)
    const chip = (['device', 'board'] as const)
      .map((scope) => readable.find((candidate) => candidate?.scope === scope))
      .find((candidate) => candidate !== undefined)
    if (chip === undefined) return { because: whyNone(readable) }
    return {
      meter: {
        source: `hwmon ${chip.name} ${chip.channel}`,
        label: 'measured',
        scope: chip.scope,
        sigmaFactor: SIGMA_FACTOR,
        periodMs: readInteger(sysfs, `${chip.path}/update_interval`) || PERIOD_MS_DEFAULT,
        wattsMax: WATTS_MAX,
        read: chip.read,
      },
    }
  },
}

/**
 * A chip that feeds only a CPU or GPU is left out: RAPL knows CPUs better, and GPU energy must not be shared out by CPU
 * time, which is all that attribution has.
 */
function whyNone(readable: readonly (Chip | undefined)[]): string {
  const names = readable.map((chip) => `${chip?.name} (${chip?.scope})`).join(', ')
  return names === ''
    ? 'no chip with energy, power, or voltage and current'
    : `only parts of the device: ${names}`
}

function scopeOf(name: string): EnergyScope {
  if (/^(amdgpu|i915|xe|nouveau|radeon)$/.test(name)) return 'gpu'
  if (/^(amd_energy|zenpower|fam15h_power)$/.test(name)) return 'cpu'
  return name === 'power_meter' ? 'device' : 'board'
}

/** One channel per chip: the first one, because further channels are usually rails behind it. */
function findChip(sysfs: Sysfs, path: string): Chip | undefined {
  const name = sysfs.readFile(`${path}/name`) ?? ''
  if (name === '' || NOT_OURS.test(name)) return undefined
  const files = sysfs.list(path)
  const first = (pattern: RegExp) => files.find((file) => pattern.test(file))
  const chip = (channel: string, read: Chip['read']) => ({ path, name, scope: scopeOf(name), channel, read })

  const energy = first(/^energy\d+_input$/)
  if (energy) {
    return chip(energy, () => {
      const microjoules = readInteger(sysfs, `${path}/${energy}`)
      if (microjoules === undefined || microjoules < 0) return undefined
      // The ABI tells no range, so a counter that runs backwards is a gap.
      return { kind: 'counters', counters: [{ joules: microjoules / 1e6, rangeJoules: 0 }] }
    })
  }
  const power = first(/^power\d+_input$/) ?? first(/^power\d+_average$/)
  if (power) {
    return chip(power, () => {
      const microwatts = readInteger(sysfs, `${path}/${power}`)
      return microwatts === undefined ? undefined : drawn(microwatts / 1e6)
    })
  }
  const current = files.find(
    (file) => /^curr\d+_input$/.test(file) && files.includes(file.replace('curr', 'in')),
  )
  if (current === undefined) return undefined
  const voltage = current.replace('curr', 'in')
  return chip(`${voltage}*${current}`, () => {
    const millivolts = readInteger(sysfs, `${path}/${voltage}`)
    const milliamperes = readInteger(sysfs, `${path}/${current}`)
    if (millivolts === undefined || milliamperes === undefined) return undefined
    return drawn((millivolts * milliamperes) / 1e6)
  })
}

/** The rail that feeds the device running this line is never at 0 W; one that is feeds something else, or is asleep. */
function drawn(watts: number): MeterReading | undefined {
  return watts > 0 ? { kind: 'instant', watts } : undefined
}
