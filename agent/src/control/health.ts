import { freemem } from 'node:os'
import type { HealthRecord } from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'
import { readInteger, type Sysfs } from '../energy/sysfs.ts'
import { diskFreeBytes } from './files.ts'
import type { SpoolFigures } from './spool/spool.ts'

/** The lowest class of telemetry: goes first when room is short. */
export function healthRecord(facts: {
  at: EpochMs
  uptimeMs: number
  runnerRssBytes: number
  runnerRestarts: number
  spool: SpoolFigures
  stateDir: string
  sysfs: Sysfs
}): HealthRecord {
  // Thousandths of a degree, of whatever zone the board lists first.
  const milliCelsius = readInteger(facts.sysfs, '/sys/class/thermal/thermal_zone0/temp')
  return {
    at: facts.at,
    uptimeMs: Math.round(facts.uptimeMs),
    controlRssBytes: process.memoryUsage.rss(),
    runnerRssBytes: facts.runnerRssBytes,
    diskFreeBytes: diskFreeBytes(facts.stateDir),
    memoryFreeBytes: freemem(),
    spoolRecords: facts.spool.records,
    spoolBytes: facts.spool.bytes,
    spoolDropped: facts.spool.dropped,
    runnerRestarts: facts.runnerRestarts,
    ...(milliCelsius !== undefined && { temperatureCelsius: milliCelsius / 1000 }),
  }
}
