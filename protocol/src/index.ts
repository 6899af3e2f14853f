/** The everyday surface; drift, trust and release parts are imported by their path (`@godwit/protocol/drift/profile`). */
export { Fault } from './fault.ts'
export * as limits from './limits.ts'
export { type Phase, phases } from './phase.ts'
export { type ResultCode, resultCodeNames, resultCodes } from './result-code.ts'
export {
  deviceMay,
  parseBlockTopic,
  parseMetaTopic,
  parseUpTopic,
  type Stream,
  streams,
  topics,
} from './topics.ts'
export { type DurationMs, type EpochMs, fromRfc3339, JOULES_PER_KILOWATT_HOUR, toRfc3339 } from './units.ts'
