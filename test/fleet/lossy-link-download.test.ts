import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathsIn } from '@godwit/agent/control/paths'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BlobServer } from '../support/blob-server.ts'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'
import { largeModel } from '../support/identity-bundle.ts'
import { LossyLink, type Weather } from '../support/lossy-link.ts'
import { seamless } from '../support/sequence-audit.ts'

let box: FleetInABox
let device: MoteDevice
let link: LossyLink
let mirror: BlobServer

beforeAll(async () => {
  box = await FleetInABox.open()
  mirror = await BlobServer.open()
  device = await box.addDevice(1, 'indoor', { via: 'http' })
  await device.program.stop()
  const { enrolment } = pathsIn(join(device.directory, 'state'))
  const answer = JSON.parse(readFileSync(enrolment, 'utf8')) as { httpUrl: string }
  link = await LossyLink.open({ port: Number(new URL(answer.httpUrl).port) })
  // What a device with a bad link has between itself and the hub.
  writeFileSync(enrolment, JSON.stringify({ ...answer, httpUrl: link.url }))
  const yaml = readFileSync(device.configFile, 'utf8')
  writeFileSync(
    device.configFile,
    yaml.replace(
      'via: http',
      `via: http, spreadMs: 0, mirrors: ['${mirror.url}'], budget: { retriesMax: 1000 }`,
    ),
  )
  box.stage.restartDevice(device)
  await box.isOnline(device)
})
afterAll(async () => {
  await link?.close()
  await mirror?.close()
  await box?.close()
})

let version = 0
/** Publishes and rolls out a model of that size over a link of that weather, until the device runs it. */
async function delivered(bytes: number, weather: Weather, onDisk?: (onnx: Uint8Array) => void) {
  const name = String(++version)
  const onnx = largeModel(bytes, version)
  onDisk?.(onnx)
  await box.publish(name, { 'model.onnx': onnx })
  const before = { down: link.bytesDown, cuts: link.cuts }
  link.weather = weather
  await box.rollout(name, allAtOnce)
  await eventually(
    `the device to run ${name}`,
    async () => {
      const slot = (await box.observe.device(device.id)).report?.slots['default']
      if (slot?.phase === 'refused') throw new Error(`${slot.code}: ${slot.detail}`)
      return slot?.phase === 'committed' && slot.active?.version === name
    },
    { withinMs: 110_000 },
  )
  link.weather = {}
  const blob = readFileSync(pathsIn(join(device.directory, 'state')).blob(sha256Hex(onnx)))
  expect(sha256Hex(blob)).toBe(sha256Hex(onnx))
  expect(await box.audit(device)).toEqual(seamless)
  return { onnx, down: link.bytesDown - before.down, cuts: link.cuts - before.cuts }
}

test('10 MB over a link that dies every megabyte and a half: no byte that arrived is fetched twice', {
  timeout: 120_000,
}, async () => {
  const { onnx, down, cuts } = await delivered(10_000_000, {
    resetAfterBytes: 1_500_000,
    bytesPerSecond: 6_000_000,
  })
  expect(cuts).toBeGreaterThanOrEqual(6)
  // What was on its way when the link died, and heads: at most four blocks for each death.
  expect(down).toBeLessThan(onnx.length + cuts * 4 * 65_536 + 400_000)
})

test('answers cut short in the middle of a block are continued there', { timeout: 120_000 }, async () => {
  const { onnx, down, cuts } = await delivered(1_000_000, { truncateAfterBytes: 100_000 })
  expect(cuts).toBeGreaterThanOrEqual(9)
  expect(down).toBeLessThan(onnx.length + cuts * 65_536)
})

test('a mirror that lies wastes a block, and is told of', { timeout: 120_000 }, async () => {
  const { onnx } = await delivered(1_000_000, {}, (bytes) => {
    const lie = Uint8Array.from(bytes)
    lie[70_000] = lie[70_000]! ^ 1
    mirror.blobs.set(sha256Hex(bytes), lie)
  })
  const asked = mirror.asked.filter(({ sha256 }) => sha256 === sha256Hex(onnx))
  expect(asked).toHaveLength(1)
  expect(asked[0]?.authorization).toBeUndefined()
  expect(describeFile(onnx).blocks.length).toBeGreaterThan(10)
  await eventually('the hub to hear of it', async () => {
    const { items } = await box.stage.hub.get<{ items: { kind: string; detail: { source?: string } }[] }>(
      `/api/v1/telemetry/events?deviceId=${device.id}`,
    )
    return items.some(
      ({ kind, detail }) => kind === 'source_left_aside' && detail.source === `mirror ${mirror.url}`,
    )
  })
})
