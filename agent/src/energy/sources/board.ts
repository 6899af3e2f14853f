import type { Source } from '../meter.ts'
import type { Sysfs } from '../sysfs.ts'
import { type Board, boards } from './board-table.ts'

/** Root mean square of one public data set against another, eight boards. */
const SIGMA_FACTOR = 1.4
/** The resolution of CPU time. */
const PERIOD_MS = 10

const MODEL_FILES = [
  '/proc/device-tree/model',
  '/sys/firmware/devicetree/base/model',
  '/sys/class/dmi/id/product_name',
]

/** The whole board as a straight line from idle to full load. */
export const board: Source = {
  name: 'board-model',
  open(sysfs) {
    const known = knownBoard(sysfs)
    if (known === undefined)
      return { because: `no figures for board ${JSON.stringify(modelName(sysfs) ?? 'unknown')}` }
    return {
      meter: {
        source: `board-model ${known.board} (${known.from})`,
        label: 'modelled',
        scope: 'board',
        sigmaFactor: SIGMA_FACTOR,
        periodMs: PERIOD_MS,
        idleWatts: known.idleWatts,
        read: (load) => load && { kind: 'interval', watts: boardWatts(known, load.busyShare) },
      },
    }
  },
}

/** @param busyShare 0..1 of all cores */
export function boardWatts({ idleWatts, fullWatts }: Board, busyShare: number): number {
  return idleWatts + (fullWatts - idleWatts) * busyShare
}

export function knownBoard(sysfs: Sysfs): Board | undefined {
  const name = modelName(sysfs)
  return name === undefined ? undefined : boards.find(({ pattern }) => pattern.test(name))
}

function modelName(sysfs: Sysfs): string | undefined {
  return MODEL_FILES.map((path) => sysfs.readFile(path)).find((text) => text !== undefined && text !== '')
}
