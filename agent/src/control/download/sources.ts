import type { Clock } from '../clock.ts'
import type { BlockSource } from './block-source.ts'

/** After HTTP has failed, MQTT goes first for so long: a firewall that swallows packets costs a minute each time. */
const avoidMs = 10 * 60_000

export type Sources = {
  /** What is on this device's disk already, or comes there anyway: from a stick, or by way of its own gateway. */
  local: () => readonly BlockSource[]
  /** Next door first, then strangers far away, then the hub. */
  gateways: readonly BlockSource[]
  mirrors: readonly BlockSource[]
  http: BlockSource
  mqtt: BlockSource
}

/** Which way the blocks come, in order of preference, and what the last failure of our hub's HTTP taught. */
export function sourcesFor(
  via: 'auto' | 'http' | 'mqtt',
  { local, gateways, mirrors, http, mqtt }: Sources,
  clock: Clock,
): () => readonly BlockSource[] {
  const before = () => [...local(), ...gateways, ...mirrors]
  if (via === 'http') return () => [...before(), http]
  if (via === 'mqtt') return () => [...before(), mqtt]
  let avoidUntilMs = Number.NEGATIVE_INFINITY
  const watched: BlockSource = {
    ...http,
    async fetch(delivery) {
      let bytes = 0
      const received = (count: number) => {
        bytes += count
        delivery.received(count)
      }
      const end = await http.fetch({ ...delivery, received })
      // A cut in the middle is a bad link, which MQTT would share.
      const isGone = end.end === 'retryable' && end.code !== 'integrity' && bytes === 0
      if (isGone) avoidUntilMs = clock.monotonicMs() + avoidMs
      return end
    },
  }
  return () => [...before(), ...(clock.monotonicMs() < avoidUntilMs ? [mqtt, watched] : [watched, mqtt])]
}
