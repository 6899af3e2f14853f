import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathsIn } from '@godwit/agent/control/paths'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'
import { largeModel } from '../support/identity-bundle.ts'
import { childrenOf, hasProc } from '../support/process-tree.ts'
import { seamless } from '../support/sequence-audit.ts'

let box: FleetInABox
let mote: MoteDevice

beforeAll(async () => {
  box = await FleetInABox.open()
  const [device] = await Promise.all([box.addDevice(1), box.publish('1')])
  mote = device
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
})
afterAll(() => box?.close())

test.skipIf(!hasProc)('a runner that is killed is started again and loses no reading', async () => {
  for (let kills = 1; kills <= 2; kills++) {
    const windows = await box.observe.windows(mote.id)
    const [runner, ...others] = childrenOf(mote.program.pid)
    expect(others).toEqual([])
    process.kill(runner!, 'SIGKILL')
    await eventually('another runner', async () => {
      const [next] = childrenOf(mote.program.pid)
      return next !== undefined && next !== runner
    })
    await eventually('it to measure', async () => {
      return (await box.observe.windows(mote.id)).length >= windows.length + 2
    })
  }
  expect(await box.audit(mote)).toEqual(seamless)
  const device = await box.observe.device(mote.id)
  expect(device.report?.slots['default']).toMatchObject({ phase: 'committed', active: { version: '1' } })
})

test('an agent that is killed in the middle of a download goes on where it was', async () => {
  const onnx = largeModel(3 * 2 ** 20)
  await box.publish('2', { 'model.onnx': onnx })
  mote.link.slow(600_000)
  const rollout = await box.rollout('2', allAtOnce)
  await eventually('a third of the model', async () => bytesHeld(mote, onnx) > onnx.length / 3, {
    everyMs: 20,
  })
  mote.program.killGroup()
  await mote.program.ended
  const held = bytesHeld(mote, onnx)
  expect(held).toBeLessThan(onnx.length)

  mote.link.slow()
  let carried = 0
  mote.link.tamper((bytes) => {
    carried += bytes.length
    return bytes
  })
  box.stage.restartDevice(mote)
  await box.inPhase(rollout, 'completed')
  await box.allRun('2')
  // The rest, the release and the metadata; not the model once more. Less than the rest where blocks had been written and
  // not yet entered: they are found.
  expect(carried).toBeGreaterThan(0)
  expect(carried).toBeLessThan(onnx.length - held + 2 ** 20)
  expect(await box.audit(mote)).toEqual(seamless)
})

/** Bytes of verified blocks on the device's disk. */
function bytesHeld(device: MoteDevice, file: Uint8Array): number {
  const sqlite = new DatabaseSync(pathsIn(join(device.directory, 'state')).database, { readOnly: true })
  try {
    const count = sqlite.prepare('SELECT count(*) AS blocks FROM block WHERE blob = ?').get(sha256Hex(file))
    return Number(count?.['blocks']) * 65_536
  } finally {
    sqlite.close()
  }
}
