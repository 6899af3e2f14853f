import { readFileSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import mqtt from 'mqtt'
import type { Clock } from '../clock.ts'
import { Inbox } from './inbox.ts'
import { mappingFor, readingOfText } from './reading-of.ts'
import type { Mapping, Reading, Source, SourceConfig } from './source.ts'

type Config = Extract<SourceConfig, { kind: 'mqtt' }>

const payloadBytesMax = 65_536
const backoffMsMin = 500
const backoffMsMax = 30_000

/**
 * Readings from a broker near by. The session at the broker is kept under one client id, so that it queues what comes
 * while no runner is there; a message is acknowledged when it is in the inbox, which a successor takes over.
 */
export async function openMqtt(
  config: Config,
  fields: readonly string[],
  cursor: unknown,
  clock: Clock,
  slot: string,
): Promise<Source> {
  const { url, topic, username, bufferMax } = config
  const mapping = mappingFor(fields, config)
  const client = mqtt.connect(url, {
    clientId: config.clientId ?? `godwit-source-${slot}`,
    clean: false,
    protocolVersion: 4,
    // Our own, which grows: a broker that is down for days is not to be knocked at every second.
    reconnectPeriod: 0,
    connectTimeout: 10_000,
    // The broker remembers the subscription; asking again only makes it send retained messages anew.
    resubscribe: false,
    ...(username !== undefined && { username }),
    ...(config.passwordFile !== undefined && { password: secretIn(config.passwordFile) }),
    ...(config.caFile !== undefined && { ca: readFileSync(config.caFile) }),
  })
  let failures = 0
  let cancel: () => void = () => {}
  let isClosing = false
  const inbox = new Inbox(bufferMax, cursor, async () => {
    isClosing = true
    cancel()
    // Gracefully: acknowledgements that are on their way go first.
    await client.endAsync(!client.connected)
  })
  client.on('connect', () => {
    failures = 0
    client.subscribe(topic, { qos: 1 }, () => {})
  })
  client.on('close', () => {
    if (isClosing) return
    cancel()
    const waitMs = Math.min(backoffMsMax, backoffMsMin * 2 ** failures++)
    cancel = clock.after(waitMs, () => client.reconnect())
  })
  // Told by 'close' as well; without a listener it would end the process.
  client.on('error', () => {})
  client.handleMessage = ({ topic: name, payload, retain, qos }, acknowledge) => {
    // In the inbox and acknowledged, or neither: what comes behind our farewell the broker keeps for the successor.
    if (isClosing && qos > 0) return acknowledge(new Error('this runner takes no more'))
    // What a broker kept from before the subscription is no news, and would come again with every connection.
    if (!retain) inbox.put(readingOfMessage(name, Buffer.from(payload), mapping, clock.now()))
    acknowledge()
  }
  return inbox
}

/** A number alone is the field that the topic's last level names; anything else is an object. */
export function readingOfMessage(topic: string, payload: Buffer, mapping: Mapping, nowMs: number): Reading {
  if (payload.length > payloadBytesMax) {
    const flaw = `${topic}: ${payload.length} bytes, expected at most ${payloadBytesMax}`
    return { at: nowMs, values: {}, flaw }
  }
  const text = payload.toString().trim()
  const reading = /^-?\d/.test(text)
    ? readingOfText(`{${JSON.stringify(topic.slice(topic.lastIndexOf('/') + 1))}:${text}}`, mapping, nowMs)
    : readingOfText(text, mapping, nowMs)
  if (reading.flaw !== undefined) reading.flaw = `${topic}: ${reading.flaw}`
  return reading
}

function secretIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new Fault('source-unavailable', `cannot read the password in ${path}`, { cause })
  }
}
