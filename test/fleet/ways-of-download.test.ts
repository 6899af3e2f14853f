import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathsIn } from '@godwit/agent/control/paths'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { topics } from '@godwit/protocol/topics'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'
import { identityFiles, largeModel } from '../support/identity-bundle.ts'
import { Listener } from '../support/listener.ts'

let box: FleetInABox
let overHttp: MoteDevice
let overMqtt: MoteDevice[]
let listener: Listener

beforeAll(async () => {
  box = await FleetInABox.open()
  const [http, ...mqtt] = await Promise.all([
    box.addDevice(1, 'indoor', { via: 'http' }),
    box.addDevice(2, 'outdoor'),
    box.addDevice(3, 'outdoor'),
  ])
  overHttp = http
  overMqtt = mqtt
  listener = await Listener.joined(box.stage.hub, 'listener')
  await listener.connect()
})
afterAll(async () => {
  await listener?.end()
  await box?.close()
})

test('over HTTP and over MQTT the same release is committed, byte for byte', async () => {
  const onnx = identityFiles['model.onnx'] as Uint8Array
  await listener.listenTo([sha256Hex(onnx)])
  await box.publish('1')
  // One at a time: nobody gets what another has asked for.
  await box.inPhase(await box.rollout('1', allAtOnce, '--to', 'placement=indoor'), 'completed')
  expect(listener.blocks()).toEqual([])
  await box.inPhase(await box.rollout('1', allAtOnce, '--to', 'placement=outdoor'), 'completed')
  expect(new Set(listener.blocks())).toEqual(new Set([sha256Hex(onnx)]))
  const active = await Promise.all(
    box.devices.map(async ({ id }) => (await box.observe.device(id)).report?.slots['default']?.active),
  )
  for (const one of active) {
    expect(one).toMatchObject({ version: '1', loadedDigest: sha256Hex(onnx) })
    expect(one?.proof).toMatch(/^[0-9a-f]{64}$/)
  }
  for (const device of [overHttp, ...overMqtt]) expect(blobOf(device, onnx)).toEqual(Buffer.from(onnx))
})

test('a model of several megabytes goes to two devices at once over MQTT, and costs the hub no more than a copy for each', async () => {
  const onnx = largeModel(4 * 2 ** 20)
  const { blocks } = describeFile(onnx)
  await listener.listenTo(blocks)
  await box.publish('2', { 'model.onnx': onnx })
  await box.inPhase(await box.rollout('2', allAtOnce, '--to', 'placement=outdoor'), 'completed')
  for (const device of overMqtt) expect(sha256Hex(blobOf(device, onnx))).toBe(sha256Hex(onnx))
  await eventually('the listener to have heard every block', async () =>
    blocks.every((block) =>
      listener.received.some(({ topic }) => topic === topics.block(box.stage.fleet, block)),
    ),
  )
  const heard = listener.blocks().filter((block) => blocks.includes(block)).length
  // How much is shared depends on how close together they ask; it is never more than a copy for each.
  expect(heard).toBeGreaterThanOrEqual(blocks.length)
  expect(heard).toBeLessThanOrEqual(overMqtt.length * blocks.length)
})

/** The file as it lies on the device's disk. */
function blobOf(device: MoteDevice, file: Uint8Array): Buffer {
  return readFileSync(pathsIn(join(device.directory, 'state')).blob(sha256Hex(file)))
}
