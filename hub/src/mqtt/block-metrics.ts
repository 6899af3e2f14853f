import { Counter, type Registry } from 'prom-client'

/** What sharing saves: these bytes leave the broker's input once, however many devices take them. */
export function blockBytesPublished(metrics: Registry): Counter {
  const name = 'godwit_block_bytes_published_total'
  const known = metrics.getSingleMetric(name)
  if (known) return known as Counter
  return new Counter({
    name,
    help: 'Payload bytes of blocks published over MQTT, once for all devices that asked for them',
    registers: [metrics],
  })
}
