import { type ChildProcess, fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeFile } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'
import { listedVersion } from '../hub/mqtt/test-device.ts'
import { joinRequest, newHub } from '../hub/support/new-hub.ts'
import { LossyLink } from '../support/lossy-link.ts'
import type { ToDevices } from './download-devices.ts'
import { overHttp, secondsToDisk, seedOfDevice } from './download-to-disk.ts'

export type Figure = { value: number; unit: string; baseline: number | string }

const devicesCount = Number(process.env['GODWIT_BENCH_DEVICES'] ?? 1_000)
const devicesPerProcess = 250
const bundleBytes = 3 * 2 ** 20

/**
 * What downloads cost on the wire, and how fast they are:
 *
 * - `download.resumeWasteBlocks`: bytes down a link that is reset every 150 ms during 10 MB over HTTP, headers and all,
 *   beyond those of the file, in blocks of 64 KiB; the baseline is how often it was reset;
 * - `download.mqttShareRatio`: payload that the hub published for 1,000 devices that fetch one 3 MB bundle at the same
 *   time with the agent's own source, over the bundle's size; the baseline is what unicast would take;
 * - `download.mibPerSecondRatio.*`: one device in a process of its own, checked blocks on the disk and journalled,
 *   over the same bytes through a bare socket into memory; the baseline says both that and a socket into a file that is
 *   forced to the disk as often as a download is.
 */
export async function benchDownload(): Promise<Record<string, Figure>> {
  const box = await newHub({ http: { port: 0 }, mqtt: { port: 0 } })
  box.time.now = Date.now()
  try {
    await box.hub.start()
    const file = new Uint8Array(randomBytes(bundleBytes))
    const large = new Uint8Array(randomBytes(10_000_000))
    const files = { 'model.onnx': file, 'golden.json': large, 'pipeline.json': new Uint8Array(9) }
    const { release } = await listedVersion(box, '1', files, {
      files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, describeFile(bytes)])),
    })
    const { httpUrl, mqttUrl } = box.hub.addresses
    await enrolAll(box)
    const described = release.files['model.onnx']!
    const bare = await bareMibPerSecond(large, false)
    const onDisk = await bareMibPerSecond(large, true)
    const against = `${bare.toFixed(0)} MiB/s; ${onDisk.toFixed(0)} with the same writes and syncs`
    const mib = large.length / 2 ** 20
    const ratio = async (toDiskOver: 'http' | 'mqtt', url: string) => {
      const task = { toDiskOver, url, file: release.files['golden.json']!, first: 0, count: 1 }
      return mib / (await throughDevices([task])).seconds / bare
    }
    const throughHttp = await ratio('http', httpUrl)
    const throughMqtt = await ratio('mqtt', mqttUrl)
    const waste = await resumeWaste(httpUrl, describeFile(large))
    const published = () => countOf(box)
    const before = await published()
    await throughDevices(
      Array.from({ length: Math.ceil(devicesCount / devicesPerProcess) }, (_, i) => {
        const first = 1 + i * devicesPerProcess
        const count = Math.min(devicesPerProcess, devicesCount + 1 - first)
        return { url: mqttUrl, file: described, first, count }
      }),
    )
    const copies = ((await published()) - before) / bundleBytes
    return {
      'download.resumeWasteBlocks': { value: waste.blocks, unit: 'blocks', baseline: `${waste.cuts} resets` },
      'download.mqttShareRatio': { value: copies, unit: 'copies', baseline: devicesCount },
      'download.mibPerSecondRatio.http': {
        value: throughHttp,
        unit: 'ratio',
        baseline: against,
      },
      'download.mibPerSecondRatio.mqtt': {
        value: throughMqtt,
        unit: 'ratio',
        baseline: against,
      },
    }
  } finally {
    await box.close()
  }
}

type Box = Awaited<ReturnType<typeof newHub>>

async function enrolAll(box: Box): Promise<void> {
  const { enrolment } = box.hub.services
  const uses = devicesCount + 1
  const made = await enrolment.createJoinToken({ labels: {}, uses, expiresInMs: 3_600_000 }, 'bench')
  const { secret } = JSON.parse(
    Buffer.from(made.token.slice('gwj1_'.length), 'base64url').toString('utf8'),
  ) as {
    secret: string
  }
  for (let i = 0; i < uses; i++) {
    const verdict = await enrolment.enrol(joinRequest(secret, seedOfDevice(i), `d${i}`))
    if (!verdict.enrolled) throw new Error(verdict.detail)
  }
}

async function countOf(box: Box): Promise<number> {
  const metric = box.hub.services.metrics.getSingleMetric('godwit_block_bytes_published_total')
  return (await metric!.get()).values.reduce((sum, { value }) => sum + value, 0)
}

async function resumeWaste(url: string, file: BundleFile): Promise<{ blocks: number; cuts: number }> {
  const port = Number(new URL(url).port)
  const link = await LossyLink.open({ port }, { bytesPerSecond: 8_000_000, cutAfterMs: 150 }, 1)
  try {
    await secondsToDisk(overHttp(link.url), file)
    return { blocks: (link.bytesDown - file.sizeBytes) / 65_536, cuts: link.cuts }
  } finally {
    await link.close()
  }
}

/**
 * One thing after the other through a socket of the same machine, hashed at the far end: the middle of five rounds.
 *
 * @param toDisk also written, and forced to the disk every 2 MiB, as a download is
 */
async function bareMibPerSecond(bytes: Uint8Array, toDisk: boolean): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => socket.end(bytes))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const directory = mkdtempSync(join(tmpdir(), 'godwit-bench-'))
  const rounds: number[] = []
  for (let round = 0; round < 5; round++) {
    const file = toDisk ? await open(join(directory, `${round}`), 'w') : undefined
    const start = performance.now()
    const socket = createConnection({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
    const hash = createHash('sha256')
    let unsynced = 0
    for await (const chunk of socket) {
      hash.update(chunk as Buffer)
      await file?.write(chunk as Buffer)
      unsynced += (chunk as Buffer).length
      if (unsynced < 2 ** 21) continue
      await file?.datasync()
      unsynced = 0
    }
    hash.digest()
    await file?.datasync()
    rounds.push(bytes.length / 2 ** 20 / ((performance.now() - start) / 1_000))
    await file?.close()
  }
  server.close()
  rmSync(directory, { recursive: true, force: true })
  return rounds.sort((a, b) => a - b)[2]!
}

type Answer = { ready: true } | { seconds: number } | { error: string }

/** In processes of their own, so that they do not take turns with the hub; all begin when all are connected. */
async function throughDevices(tasks: readonly ToDevices[]): Promise<{ seconds: number }> {
  const children = tasks.map(() =>
    fork(new URL('./download-devices.ts', import.meta.url), [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  const answers = () => Promise.all(children.map(answerOf))
  try {
    const connected = answers()
    for (const [i, child] of children.entries()) child.send(tasks[i]!)
    await connected
    const fetched = answers()
    for (const child of children) child.send('go')
    return {
      seconds: Math.max(...(await fetched).map((answer) => ('seconds' in answer ? answer.seconds : 0))),
    }
  } finally {
    for (const child of children) child.kill()
  }
}

async function answerOf(child: ChildProcess): Promise<Answer> {
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the devices' process ended with ${code ?? signal}`)
  })
  // Killed when all is done; then nobody waits for this any more.
  ended.catch(() => {})
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [Answer]
  if ('error' in answer) throw new Error(answer.error)
  return answer
}
