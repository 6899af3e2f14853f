import type { Clock } from '../clock.ts'
import { openJsonl } from './jsonl.ts'
import { openReplay } from './replay.ts'
import type { Source, SourceConfig } from './source.ts'

/**
 * @param fields the numbers that the pipeline uses; a source need not deliver others
 * @param cursor from a checkpoint; null or undefined begins at the start
 */
export function openSource(
  config: SourceConfig,
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
): Promise<Source> {
  if (config.kind === 'replay') return openReplay(config, fields, cursor, clock)
  return openJsonl(config, fields, cursor, clock)
}
