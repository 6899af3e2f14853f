import { createServer, type Server } from 'node:net'
import { systemClock } from '@godwit/agent/control/clock'
import { Link } from '@godwit/agent/control/link/link'
import { silentLog } from '@godwit/agent/control/log'
import { Aedes } from 'aedes'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LossyLink } from '../../../support/lossy-link.ts'

let broker: Aedes
let server: Server
let network: LossyLink
let link: Link
let ups: number
let heard: string[]
const waiting = new Set<() => void>()

beforeEach(async () => {
  broker = await Aedes.createBroker()
  server = createServer((socket) => broker.handle(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  network = await LossyLink.open(server.address() as { port: number })
  ups = 0
  heard = []
  const changed = () => {
    for (const look of waiting) look()
  }
  link = new Link(
    {
      credentials: () => ({
        url: `mqtt://127.0.0.1:${network.port}`,
        ...{ clientId: 'd1', password: 'x' },
        will: { topic: 'will', payload: Buffer.from('gone'), qos: 1 },
      }),
      connected: () => {
        ups++
        changed()
      },
      disconnected: changed,
      message: (topic) => {
        heard.push(topic)
        changed()
      },
      unauthorised: () => {},
      quarantined: () => {},
      released: () => {},
    },
    { backoffMsMin: 20, backoffMsMax: 100 },
    { clock: systemClock, random: () => 0.5, log: silentLog, keepaliveSeconds: 1 },
  )
})
afterEach(async () => {
  await link.stop()
  await network.close()
  await new Promise<void>((resolve) => broker.close(resolve))
  await new Promise((resolve) => server.close(resolve))
})

function until(isTrue: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!isTrue()) return
      waiting.delete(look)
      resolve()
    }
    waiting.add(look)
    look()
  })
}

test('a connection whose far end says nothing any more is left, and what it was to carry fails; the next one works', async () => {
  link.start(['news'])
  await until(() => ups === 1)
  network.weather = { silent: true }
  await expect(link.publish({ topic: 'up', payload: Buffer.from('x'), qos: 1 })).rejects.toThrow(
    /closed|not connected/,
  )
  network.weather = {}
  network.cutOnce()
  await until(() => ups === 2)
  await link.publish({ topic: 'news', payload: Buffer.from('x'), qos: 1 })
  await until(() => heard.includes('news'))
})

test('a link that dies in the middle of a CONNECT, wherever, is opened again, and leaves no will behind', async () => {
  const wills: string[] = []
  broker.on('publish', ({ topic }) => {
    if (topic === 'will') wills.push(topic)
  })
  for (const bytes of [1, 2, 9, 20, 31]) {
    const { cuts } = network
    network.weather = { resetAfterBytesUp: bytes }
    if (bytes === 1) link.start([])
    while (network.cuts < cuts + 2) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(ups).toBe(0)
  network.weather = {}
  await until(() => ups === 1)
  expect(wills).toEqual([])
})
