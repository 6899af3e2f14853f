import { once } from 'node:events'
import type { BlockLink } from '@godwit/agent/control/download/mqtt-source'
import { mqttSource } from '@godwit/agent/control/download/mqtt-source'
import { missingBlocks } from '@godwit/agent/control/download/plan'
import { blockRefusal } from '@godwit/protocol/messages/blocks'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import { parseBlockTopic, topics } from '@godwit/protocol/topics'
import { fleet, overHttp, secondsToDisk, tokenOf } from './download-to-disk.ts'
import { LightMqtt } from './light-mqtt.ts'

/**
 * Devices `d{first}` and on fetch that file, all beginning at the same time: into memory over MQTT, or one of them with
 * the agent's whole downloader to its disk.
 */
export type ToDevices = {
  url: string
  file: BundleFile
  first: number
  count: number
  toDiskOver?: 'http' | 'mqtt'
}

type OpenLink = BlockLink & { end(): void }

/** The link as the agent's uplink gives it, on a client of its own. */
async function linkOf(url: string, index: number): Promise<OpenLink> {
  const deviceId = `d${index}`
  const client = await LightMqtt.connect(url, deviceId, tokenOf(index, 'mqtt'))
  await client.subscribe([topics.downAll(fleet, deviceId)], 1)
  const blocks = new Set<(sha256: string, bytes: Uint8Array) => void>()
  const refusals = new Set<Parameters<BlockLink['onRefusal']>[0]>()
  client.onMessage = (topic, payload) => {
    const block = parseBlockTopic(topic)
    if (block !== undefined) for (const listen of blocks) listen(block, payload)
    else if (topic === topics.blockRefusal(fleet, deviceId)) {
      const read = blockRefusal.check(JSON.parse(Buffer.from(payload).toString()))
      if (read.ok) for (const listen of refusals) listen(read.value)
    }
  }
  const filters = (all: readonly string[]) => all.map((sha256) => topics.block(fleet, sha256))
  return {
    get isUp() {
      return client.isUp
    },
    subscribe: (all) => client.subscribe(filters(all), 1),
    unsubscribe: (all) => client.unsubscribe(filters(all)),
    request: (request) => client.publish(topics.blockRequest(fleet, deviceId), JSON.stringify(request)),
    onBlock: (listen) => {
      blocks.add(listen)
      return () => blocks.delete(listen)
    },
    onRefusal: (listen) => {
      refusals.add(listen)
      return () => refusals.delete(listen)
    },
    end: () => client.end(),
  }
}

async function fetchAll({ url, file, first, count }: ToDevices): Promise<number> {
  const links: OpenLink[] = []
  for (let i = 0; i < count; i += 25)
    links.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(25, count - i) }, (_, j) => linkOf(url, first + i + j)),
      )),
    )
  // All of the fleet begins together, in whichever process a device lives.
  process.send?.({ ready: true })
  await once(process, 'message')
  const start = performance.now()
  await Promise.all(links.map((link, i) => fetchOne(link, () => linkOf(url, first + i), file)))
  return (performance.now() - start) / 1_000
}

/** A link that the hub has cut, because this process was too busy to read, is opened again as an agent would. */
async function fetchOne(opened: OpenLink, open: () => Promise<OpenLink>, file: BundleFile): Promise<void> {
  const have = new Set<number>()
  const release = { model: 'gauge', version: '1', releaseDigest: '0'.repeat(64) }
  let link = opened
  for (let tries = 0; have.size < file.blocks.length; tries++) {
    if (!link.isUp) link = await open().catch(() => link)
    const end = await mqttSource(link).fetch({
      ...{ file, wanted: missingBlocks(file, have), release },
      ...{ received: () => {}, room: () => Number.POSITIVE_INFINITY, signal: new AbortController().signal },
      take: async (block, bytes) => {
        const isRight = sha256Hex(bytes) === block.sha256
        if (isRight) have.add(block.index)
        return isRight
      },
    })
    if (end.end === 'refused' || tries === 50) throw new Error(JSON.stringify(end))
  }
  link.end()
}

async function fetchToDisk({ url, file, toDiskOver }: ToDevices): Promise<number> {
  const link = toDiskOver === 'mqtt' ? await linkOf(url, 0) : undefined
  process.send?.({ ready: true })
  await once(process, 'message')
  const seconds = await secondsToDisk(link ? mqttSource(link) : overHttp(url), file)
  link?.end()
  return seconds
}

process.once('message', (task: ToDevices) => {
  const fetching = task.toDiskOver ? fetchToDisk(task) : fetchAll(task)
  fetching.then(
    (seconds) => process.send?.({ seconds }),
    (error) => process.send?.({ error: String(error) }),
  )
})
