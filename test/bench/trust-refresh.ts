import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { pathsIn } from '@godwit/agent/control/paths'
import { Trust } from '@godwit/agent/control/trust/trust'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { targetPathOf } from '@godwit/protocol/release/release'
import { parseMetaTopic, topics } from '@godwit/protocol/topics'
import type { TargetFile } from '@godwit/protocol/trust/metadata'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub, signedTargets } from '../hub/support/new-hub.ts'
import type { Figure } from './trust.ts'

const models = 50
const releasesPerModel = 10
const hourMs = 3_600_000

/**
 * What a refresh of metadata costs on the wire, as TCP payload in both directions, for a hub with 50 models of ten
 * releases each. Real hub, broker and trust code; the device subscribes as the agent does. Baselines are the bytes of the
 * documents that had to be carried.
 *
 * - `trust.refreshBytes`: the first, on a device that has its first root only
 * - `.reconnected`: nothing is new, but a broker hands out the timestamp and the roots again
 * - `.timestamp`: nothing is new but the timestamp, on a connection that stays
 * - `trust.refreshRoundTrips`: questions of the device that had to be answered first (MQTT's own acknowledgements apart)
 */
export async function benchRefresh(): Promise<Record<string, Figure>> {
  const box = await newHub()
  const directory = mkdtempSync(join(tmpdir(), 'godwit-bench-'))
  try {
    await listReleases(box)
    await box.hub.start()
    return await measure(box, directory)
  } finally {
    await box.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure(box: Box, directory: string): Promise<Record<string, Figure>> {
  const { repository } = box.hub.services
  const device = await TestDevice.enrolled(box, 'cam', 11)
  const wire = await Wire.to(Number(new URL(box.hub.addresses.mqttUrl).port))
  const clock = { wallMs: () => box.time.now, monotonicMs: () => 0 }
  const pinnedRoot = await repository.firstRoot()
  const trust = new Trust({
    paths: pathsIn(directory),
    names: { fleet, deviceId: 'cam' },
    time: new TrustedTime(clock, 0, () => {}),
    pinnedRoot,
    askMetadata: async (role, version) => {
      const topic = topics.meta(fleet, role, version)
      const said = () => device.received.find((message) => message.topic === topic)?.payload
      await device.client.subscribeAsync([topic], { qos: 1 })
      await until(() => said() !== undefined, device)
      await device.client.unsubscribeAsync([topic])
      return said()
    },
  })
  let questions = 0
  const online = async () => {
    trust.forgetHeard()
    await device.connect({}, wire.url)
    device.client.on('packetsend', ({ cmd }) => {
      if (cmd === 'subscribe') questions++
    })
    device.received.length = 0
    wire.bytes = 0
  }
  const refreshed = async (documents: number) => {
    await until(() => heardOf(device).length >= documents, device)
    for (const { topic, payload } of heardOf(device)) trust.heard(topic, payload)
    const verdict = await trust.refresh()
    if (!verdict.trusted) throw new Error(`${verdict.because}: ${verdict.detail}`)
    return wire.settled()
  }
  const subscribe = () =>
    device.client.subscribeAsync(
      [
        topics.hub(fleet),
        topics.meta(fleet, 'timestamp'),
        topics.metaRoots(fleet),
        topics.downAll(fleet, 'cam'),
      ],
      { qos: 1 },
    )
  try {
    const all = await repository.current()
    const sizeOf = (documents: readonly { bytes: Uint8Array }[]) =>
      documents.reduce((sum, { bytes }) => sum + bytes.length, 0)
    await online()
    await subscribe()
    const first = await refreshed(2)
    const roundTrips = questions
    await device.end()

    await online()
    await subscribe()
    const reconnected = await refreshed(2)

    wire.bytes = 0
    device.received.length = 0
    box.time.now += 20 * hourMs
    await repository.refresh(box.time.now)
    const onlyTimestamp = await refreshed(1)
    const timestamp = (await repository.current()).filter(({ role }) => role === 'timestamp')
    return {
      'trust.refreshBytes': { value: first, unit: 'B', baseline: sizeOf(all) },
      'trust.refreshBytes.reconnected': { value: reconnected, unit: 'B', baseline: 0 },
      'trust.refreshBytes.timestamp': { value: onlyTimestamp, unit: 'B', baseline: sizeOf(timestamp) },
      'trust.refreshRoundTrips': { value: roundTrips, unit: '', baseline: 3 },
    }
  } finally {
    await device.end()
    await wire.close()
  }
}

const heardOf = (device: TestDevice) =>
  device.received.filter(({ topic, payload }) => parseMetaTopic(topic) && payload.length > 0)

function until(isTrue: () => boolean, device: TestDevice): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!isTrue()) return
      device.client.off('message', look)
      resolve()
    }
    device.client.on('message', look)
    look()
  })
}

/** Rows without files: what is measured is metadata. */
async function listReleases({ hub }: Box): Promise<void> {
  const { database, repository } = hub.services
  const targets: Record<string, TargetFile> = {}
  for (let m = 0; m < models; m++) {
    const model = `sensor-model-${m}`
    await database.db.insertInto('model').values({ name: model, description: '', created_at: 1 }).execute()
    for (let releaseCounter = 1; releaseCounter <= releasesPerModel; releaseCounter++) {
      const version = `1.${releaseCounter}.0`
      const releaseDigest = sha256Hex(Buffer.from(`${model} ${version}`))
      const releaseBytes = 4_096 + releaseCounter
      await database.db
        .insertInto('version')
        .values({
          ...{ model, version, release_digest: releaseDigest, release_counter: releaseCounter },
          ...{ release_bytes: releaseBytes, release_json: '{}', created_at: 1, created_by: 'bench' },
          ...{ listed_at: null, delisted_at: null },
        })
        .execute()
      targets[targetPathOf(model, version)] = {
        length: releaseBytes,
        hashes: { sha256: releaseDigest },
        custom: { kind: 'godwit-release/1', model, version, releaseCounter },
      }
    }
  }
  const taken = await repository.acceptTargets(signedTargets(2, targets), 'bench')
  if (!taken.trusted) throw new Error(`${taken.because}: ${taken.detail}`)
}

/** A stretch of cable that counts what passes. */
class Wire {
  bytes = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1')
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from)
        from.on('data', (chunk: Buffer) => {
          this.bytes += chunk.length
          to.write(chunk)
        })
        from.on('error', () => {})
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
      }
    })
  }

  static async to(port: number): Promise<Wire> {
    const wire = new Wire(port)
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve))
    return wire
  }

  get url(): string {
    return `mqtt://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Once the last acknowledgement has passed: what is counted shall not hang on who was quicker. */
  async settled(): Promise<number> {
    for (let before = -1; before !== this.bytes; ) {
      before = this.bytes
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    return this.bytes
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
