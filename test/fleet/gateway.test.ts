import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathsIn } from '@godwit/agent/control/paths'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { freePort, type MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, FleetInABox } from '../support/fleet-in-a-box.ts'
import { largeModel } from '../support/identity-bundle.ts'
import { Listener } from '../support/listener.ts'

/** The same agent with another configuration. */
async function reconfigure(box: FleetInABox, device: MoteDevice, change: (yaml: string) => string) {
  await device.program.stop()
  writeFileSync(device.configFile, change(readFileSync(device.configFile, 'utf8')))
  box.stage.restartDevice(device)
  await box.isOnline(device)
}

let box: FleetInABox
let gateway: MoteDevice
let neighbour: MoteDevice
let listener: Listener
let port: number

beforeAll(async () => {
  box = await FleetInABox.open()
  gateway = await box.addDevice(1, 'indoor', { via: 'http' })
  neighbour = await box.addDevice(2, 'indoor')
  port = await freePort(0)
  await reconfigure(
    box,
    gateway,
    (yaml) => `${yaml}gateway: { listen: '127.0.0.1:${port}', bytesMax: 16MiB }\n`,
  )
  await reconfigure(box, neighbour, (yaml) =>
    yaml.replace('via: mqtt', `via: mqtt, gateways: ['http://127.0.0.1:${port}']`),
  )
  listener = await Listener.joined(box.stage.hub, 'listener')
  await listener.connect()
})
afterAll(async () => {
  await listener?.end()
  await box?.close()
})

const blobOf = (device: MoteDevice, digest: string) =>
  readFileSync(pathsIn(join(device.directory, 'state')).blob(digest))

test('a gateway and its neighbour update at the same time, and the model crosses the link once', async () => {
  const onnx = largeModel(2 ** 20)
  const digest = sha256Hex(onnx)
  await listener.listenTo(describeFile(onnx).blocks)
  await box.publish('1', { 'model.onnx': onnx })
  await box.inPhase(await box.rollout('1', allAtOnce, '--to', 'placement=indoor'), 'completed')
  for (const device of [gateway, neighbour]) expect(sha256Hex(blobOf(device, digest))).toBe(digest)
  // The neighbour's own way is MQTT, and nothing came by it.
  expect(listener.blocks()).toEqual([])
})

test('without its gateway a neighbour goes its own way', async () => {
  await gateway.program.stop()
  const onnx = largeModel(300_000, 5)
  await listener.listenTo(describeFile(onnx).blocks)
  await box.publish('2', { 'model.onnx': onnx })
  await box.rollout('2', allAtOnce, '--to', 'placement=indoor')
  await box.allRun('2', [neighbour])
  expect(new Set(listener.blocks())).toEqual(new Set(describeFile(onnx).blocks))
})
