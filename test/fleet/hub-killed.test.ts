import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, FleetInABox, oneThenRest } from '../support/fleet-in-a-box.ts'
import { Listener } from '../support/listener.ts'
import { seamless } from '../support/sequence-audit.ts'

let box: FleetInABox
let listener: Listener

/** Two motes; whoever only listens has no placement. */
const motes = ['--to', 'placement']

beforeAll(async () => {
  box = await FleetInABox.open()
  await Promise.all([box.addDevice(1), box.addDevice(2), box.publish('1')])
  listener = await Listener.joined(box.stage.hub, 'listener')
})
afterAll(async () => {
  await listener?.end()
  await box?.close()
})

async function killHub(): Promise<void> {
  box.stage.hubProgram.killGroup()
  await box.stage.hubProgram.ended
}

test('a hub that is killed in the middle of a rollout finishes it after its restart', async () => {
  const id = await box.rollout('1', oneThenRest, ...motes)
  const canary = await eventually('the canary to be at work', async () =>
    (await box.observe.rolloutDevices(id)).find(({ wave, state }) => wave === 0 && state !== 'pending'),
  )
  await killHub()
  await box.stage.runHub()
  expect((await box.inPhase(id, 'completed')).sentence).toContain('2')
  await box.allRun('1')
  const devices = await box.observe.rolloutDevices(id)
  expect(devices.filter(({ wave }) => wave === 0).map(({ deviceId }) => deviceId)).toEqual([canary.deviceId])
})

test('a hub that is killed while telemetry comes in counts every reading once', async () => {
  for (const device of box.devices)
    await eventually(
      `windows of ${device.id}`,
      async () => (await box.observe.windows(device.id)).length >= 3,
    )
  const before = await Promise.all(box.devices.map(({ id }) => box.observe.windows(id)))
  await killHub()
  await box.stage.runHub()
  for (const [i, device] of box.devices.entries()) {
    await eventually(
      `${device.id} to send again`,
      async () => (await box.observe.windows(device.id)).length >= before[i]!.length + 2,
    )
    expect(await box.audit(device)).toEqual(seamless)
  }
})

test('after a restart devices are online again, and those that stay away are not', async () => {
  const [stays, leaves] = box.devices
  for (const device of box.devices) await box.isOnline(device)
  await killHub()
  leaves!.link.cut()
  await box.stage.runHub()
  await box.isOnline(stays!)
  expect((await box.observe.device(leaves!.id)).status).toBe('offline')
  leaves!.link.restore()
  await box.isOnline(leaves!)
})

test('after a restart the directive of a device is retained again, the same as before', async () => {
  await box.stage.godwit('device', 'set', listener.id, 'identity@1')
  await listener.connect()
  const before = await eventually('the directive', async () => listener.directive())
  expect(before.slots).toMatchObject({ default: { version: '1' } })
  await listener.end()
  await killHub()
  await box.stage.runHub()
  await listener.connect()
  expect(await eventually('the directive, again', async () => listener.directive())).toEqual(before)
})
