import type { Counter, Source } from '../meter.ts'
import { readInteger, type Sysfs } from '../sysfs.ts'

const ROOT = '/sys/class/powercap'

/** No socket draws more; with the usual range of 262 kJ a second wrap then needs over four minutes. Own assumption. */
const WATTS_MAX = 1000

interface Domain {
  readonly path: string
  readonly name: string
}

/**
 * The CPU's own energy counters. `psys` (the whole platform) alone where it exists, else packages plus memory: core and
 * uncore lie inside the package, and the -mmio twins count the same energy again.
 */
export const rapl: Source = {
  name: 'rapl',
  open(sysfs) {
    const domains = sysfs
      .list(ROOT)
      .filter((entry) => /^intel-rapl(:\d+)+$/.test(entry))
      .map((entry) => ({ path: `${ROOT}/${entry}`, name: sysfs.readFile(`${ROOT}/${entry}/name`) ?? '' }))
    if (domains.length === 0)
      return { because: 'no powercap domains (virtual machines and containers hide them)' }
    const psys = domains.filter(({ name, path }) => name === 'psys' && readCounter(sysfs, path) !== undefined)
    const chosen = psys.length > 0 ? psys : domains.filter(({ name }) => /^(package-|dram$)/.test(name))
    if (readAll(sysfs, chosen) === undefined) {
      return { because: 'energy_uj cannot be read (root only since Linux 5.10)' }
    }
    return {
      meter: {
        source: `rapl ${chosen.map(({ name }) => name).join('+')}`,
        label: 'measured',
        scope: psys.length > 0 ? 'board' : 'cpu',
        sigmaFactor: 1,
        periodMs: 1,
        wattsMax: WATTS_MAX,
        read() {
          const counters = readAll(sysfs, chosen)
          return counters && { kind: 'counters', counters }
        },
      },
    }
  },
}

/** All or nothing: a sum with a domain missing would look like a saving. */
function readAll(sysfs: Sysfs, domains: readonly Domain[]): readonly Counter[] | undefined {
  const counters = domains
    .map(({ path }) => readCounter(sysfs, path))
    .filter((counter) => counter !== undefined)
  return counters.length === domains.length && counters.length > 0 ? counters : undefined
}

function readCounter(sysfs: Sysfs, path: string): Counter | undefined {
  const microjoules = readInteger(sysfs, `${path}/energy_uj`)
  if (microjoules === undefined || microjoules < 0) return undefined
  return {
    joules: microjoules / 1e6,
    rangeJoules: Math.max(0, readInteger(sysfs, `${path}/max_energy_range_uj`) ?? 0) / 1e6,
  }
}
