import { freemem } from 'node:os'
import type { HealthRecord } from '@godwit/protocol/messages/telemetry'
import type { EpochMs } from '@godwit/protocol/units'
import type { Sysfs } from '../energy/sysfs.ts'
import { hottestCelsius } from '../energy/temperature.ts'
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
  const temperatureCelsius = hottestCelsius(facts.sysfs)
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
    ...(temperatureCelsius !== undefined && { temperatureCelsius }),
  }
}
