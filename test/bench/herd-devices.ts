import { topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { fleet, type Known, windowBody } from '../hub/mqtt/test-device.ts'
import { birthOf, reportOf, type SeededDevice, seal, seededDevice } from '../support/seeded-fleet.ts'
import { LightMqtt } from './light-mqtt.ts'

export type Ref = Pick<Known, 'ref'>
/** `come`: all connect to this hub, as after its restart, and send one window. `take`: a directive is on its way to all. */
export type HerdTask =
  | { do: 'come'; url: string; count: number; runs: Ref; seq: number }
  | { do: 'take'; target: Ref }

/** Connections that are being opened at once; the listener's backlog holds 511. */
const openingMax = 200

type Herded = { device: SeededDevice; client: LightMqtt; desired: { version: number; release: string } }

let herd: Herded[] = []
let connection = 1
let heard = () => {}

async function come({ url, count, runs, seq }: Extract<HerdTask, { do: 'come' }>): Promise<void> {
  connection++
  const waiting = Array.from({ length: count }, (_, i) => i)
  const arrived: Herded[] = []
  const next = async (): Promise<void> => {
    for (let i = waiting.shift(); i !== undefined; i = waiting.shift())
      arrived.push(await one(url, i, runs, seq))
  }
  await Promise.all(Array.from({ length: openingMax }, next))
  herd = arrived
}

/** What an agent says at a connect, until the hub has acked its telemetry. */
async function one(url: string, index: number, runs: Ref, seq: number): Promise<Herded> {
  const device = seededDevice(index)
  const { id, seed } = device
  const at = Date.now()
  const claim = { fleet, deviceId: id, audience: 'mqtt' as const, issuedAt: at, expiresAt: at + 600_000 }
  const client = await LightMqtt.connect(url, id, mintDeviceToken(claim, seed))
  const herded: Herded = { device, client, desired: { version: 0, release: '' } }
  const acked = Promise.withResolvers<void>()
  client.onMessage = (topic, payload) => {
    if (topic === topics.ack(fleet, id)) acked.resolve()
    if (topic !== topics.desired(fleet, id)) return
    const { signed } = JSON.parse(Buffer.from(payload).toString()) as {
      signed: { version: number; slots: Record<string, { releaseDigest: string }> }
    }
    herded.desired = { version: signed.version, release: signed.slots['default']?.releaseDigest ?? '' }
    heard()
  }
  await client.subscribe([topics.hub(fleet), topics.metaRoots(fleet), topics.downAll(fleet, id)], 1)
  const state = { status: 'online', bootId: `boot-${connection}-${index}`, connection, at }
  await client.publish(topics.state(fleet, id), JSON.stringify(state), true)
  await client.publish(topics.birth(fleet, id), JSON.stringify(birthOf(connection, at)))
  const report = reportOf(device, 100 * connection, 1, runs, runs, at)
  await client.publish(topics.reported(fleet, id), report, true)
  const records = [{ seq, body: windowBody(runs) }]
  await client.publish(
    topics.telemetry(fleet, id, 'window'),
    seal(device, { stream: 'window', base: seq, records }),
  )
  await acked.promise
  return herded
}

/** Each device reports that it has done as it was told; comes back when the hub has acknowledged all reports. */
async function take({ target }: Extract<HerdTask, { do: 'take' }>): Promise<void> {
  const left = new Set(herd)
  const said: Promise<void>[] = []
  await new Promise<void>((resolve) => {
    heard = () => {
      for (const herded of left) {
        const { device, client, desired } = herded
        if (desired.release !== target.ref.releaseDigest) continue
        left.delete(herded)
        const report = reportOf(device, 100 * connection + 1, desired.version, target, target, Date.now())
        said.push(client.publish(topics.reported(fleet, device.id), report, true))
      }
      if (left.size === 0) resolve()
    }
    heard()
  })
  await Promise.all(said)
}

process.on('message', (task: HerdTask) => {
  const done = task.do === 'come' ? come(task) : take(task)
  done.then(
    () => process.send?.({ done: true }),
    (error) => process.send?.({ error: String(error) }),
  )
})
process.once('disconnect', () => process.exit(0))
