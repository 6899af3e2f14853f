import type { Clock } from '../clock.ts'
import type { BlockSource } from './block-source.ts'

/** After HTTP has failed, MQTT goes first for so long: a firewall that swallows packets costs a minute each time. */
const avoidMs = 10 * 60_000

/** Which way the blocks come, in order of preference, and what the last failure taught. */
export function sourcesFor(
  via: 'auto' | 'http' | 'mqtt',
  http: BlockSource,
  mqtt: BlockSource,
  clock: Clock,
): () => readonly BlockSource[] {
  if (via === 'http') return () => [http]
  if (via === 'mqtt') return () => [mqtt]
  let avoidUntilMs = Number.NEGATIVE_INFINITY
  const watched: BlockSource = {
    name: http.name,
    async fetch(file, wanted, take, signal) {
      const end = await http.fetch(file, wanted, take, signal)
      if (end.end === 'retryable' && end.code !== 'integrity') avoidUntilMs = clock.monotonicMs() + avoidMs
      return end
    },
  }
  return () => (clock.monotonicMs() < avoidUntilMs ? [mqtt, watched] : [watched, mqtt])
}
