import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox, oneThenRest } from '../support/fleet-in-a-box.ts'
import { Listener } from '../support/listener.ts'
import { seamless } from '../support/sequence-audit.ts'

let box: FleetInABox
let indoor: MoteDevice
let outdoor: MoteDevice

beforeAll(async () => {
  box = await FleetInABox.open()
  const [first, second] = await Promise.all([
    box.addDevice(1, 'indoor'),
    box.addDevice(2, 'outdoor'),
    (async () => {
      for (const version of ['1', '2', '3']) await box.publish(version)
    })(),
  ])
  indoor = first
  outdoor = second
})
afterAll(() => box?.close())

const godwit = (...args: string[]) => box.stage.godwit<Record<string, unknown>>(...args)
const because = ['--reason', 'an operator said so']
const versionOf = (device: MoteDevice) => box.observe.activeVersion(device.id)

async function refused(...args: string[]): Promise<{ code: number; error: string; message: string }> {
  const { code, stderr } = await box.stage.tryGodwit(...args)
  const { error } = JSON.parse(stderr) as { error: { code: string; message: string } }
  return { code, error: error.code, message: error.message }
}

function cutAll(): void {
  for (const { link } of box.devices) link.cut()
}

async function restoreAll(): Promise<void> {
  for (const { link } of box.devices) link.restore()
  for (const device of box.devices) await box.isOnline(device)
}

describe('a selector', () => {
  test('that nobody fits is refused, and so is one that cannot be read', async () => {
    const nobody = await refused(...box.rolloutArguments('1', allAtOnce, '--to', 'placement=moon'))
    expect(nobody).toMatchObject({ code: exitCodes.failure, error: 'validation' })
    expect(nobody.message).toContain('no device matches')
    const unreadable = await refused(...box.rolloutArguments('1', allAtOnce, '--to', 'placement=='))
    expect(unreadable).toMatchObject({ code: exitCodes.failure, error: 'validation' })
    expect(await godwit('rollout', 'list')).toEqual([])
  })

  test('picks the devices that fit and no other', async () => {
    const id = await box.rollout('1', allAtOnce, '--to', 'placement in (outdoor)')
    await box.inPhase(id, 'completed')
    expect((await box.observe.rolloutDevices(id)).map(({ deviceId }) => deviceId)).toEqual([outdoor.id])
    expect(await versionOf(outdoor)).toBe('1')
    expect(await versionOf(indoor)).toBeUndefined()
    await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
    expect(await versionOf(indoor)).toBe('1')
  })
})

describe('an operator', () => {
  test('pauses a rollout: who was told finishes, nobody else is; resumes, and it completes', async () => {
    cutAll()
    const id = await box.rollout('2', oneThenRest)
    const canary = await eventually('the canary to be told', async () =>
      (await box.observe.rolloutDevices(id)).find(({ state }) => state !== 'pending'),
    )
    expect(await godwit('rollout', 'pause', id, ...because)).toMatchObject({ phase: 'paused' })
    expect(await refused('rollout', 'wait', id)).toMatchObject({ code: exitCodes.rolloutDegraded })
    await restoreAll()
    const isCanary = ({ id }: MoteDevice) => id === canary.deviceId
    await box.allRun('2', box.devices.filter(isCanary))
    const [other] = box.devices.filter((device) => !isCanary(device))
    const states = await box.observe.rolloutDevices(id)
    expect(states.find(({ deviceId }) => deviceId === other!.id)).toMatchObject({ wave: 1, state: 'pending' })
    expect(await versionOf(other!)).toBe('1')
    await godwit('rollout', 'resume', id, ...because)
    await box.inPhase(id, 'completed')
    await box.allRun('2')
    expect((await box.stage.tryGodwit('rollout', 'wait', id)).code).toBe(exitCodes.ok)
  })

  test('aborts a rollout: nobody gets the release any more', async () => {
    cutAll()
    const id = await box.rollout('3', oneThenRest)
    await eventually('the canary to be told', async () =>
      (await box.observe.rolloutDevices(id)).find(({ state }) => state !== 'pending'),
    )
    expect(await godwit('rollout', 'abort', id, ...because)).toMatchObject({ phase: 'aborted' })
    await restoreAll()
    const again = await refused('rollout', 'resume', id, ...because)
    expect(again).toMatchObject({ code: exitCodes.conflict, error: 'rollout-not-active' })
    for (const device of box.devices) {
      const { goals } = await box.stage.hub.get<{ goals: unknown }>(`/api/v1/devices/${device.id}`)
      expect(goals).toMatchObject({ default: { version: '2' } })
      expect(await versionOf(device)).toBe('2')
    }
  })

  test('rolls back: every device gets back what it ran before, each its own', async () => {
    await box.inPhase(await box.rollout('1', allAtOnce, '--to', 'placement=outdoor'), 'completed')
    const id = await box.rollout('3', allAtOnce)
    await box.inPhase(id, 'completed')
    await box.allRun('3')
    await godwit('rollout', 'rollback', id, ...because)
    await box.inPhase(id, 'rolled_back')
    await box.allRun('2', [indoor])
    await box.allRun('1', [outdoor])
    for (const device of box.devices) expect(await box.audit(device)).toEqual(seamless)
  })

  test('gives one device a version without a rollout', async () => {
    await godwit('device', 'set', outdoor.id, 'identity@3')
    // A minute of probation lies before its commit; that it serves is enough here.
    await eventually('it to serve the version', async () => {
      const slot = (await box.observe.device(outdoor.id)).report?.slots['default']
      return slot?.phase === 'probation' && slot.active?.version === '3'
    })
    expect(await versionOf(indoor)).toBe('2')
    expect(await refused('device', 'set', outdoor.id, 'identity@9')).toMatchObject({
      code: exitCodes.notFound,
    })
    expect(await refused('device', 'set', 'nobody', 'identity@1')).toMatchObject({ code: exitCodes.notFound })
  })

  test('must give a reason', async () => {
    expect((await box.stage.tryGodwit('rollout', 'abort', 'any')).code).toBe(exitCodes.usage)
  })
})

describe('a device that is revoked', () => {
  test('loses its connection at once and gets no other', async () => {
    const listener = await Listener.joined(box.stage.hub, 'listener')
    await listener.connect()
    const closed = new Promise<void>((resolve) => listener.client!.once('close', () => resolve()))
    expect(await refused('device', 'revoke', listener.id)).toMatchObject({ code: exitCodes.usage })
    expect(await godwit('device', 'revoke', listener.id, '--yes')).toHaveProperty('revokedAt')
    await closed
    await expect(listener.connect()).rejects.toMatchObject({ code: 4 })
  })

  test('does not come back by starting its agent again', async () => {
    await godwit('device', 'revoke', outdoor.id, '--yes')
    await eventually('it to be gone', async () => (await box.observe.device(outdoor.id)).status === 'offline')
    await outdoor.program.stop()
    const log = join(box.directory, 'logs', 'hub.log')
    const before = readFileSync(log).length
    box.stage.restartDevice(outdoor)
    await eventually('the hub to refuse it', async () => {
      const lines = readFileSync(log, 'utf8').slice(before)
      return lines.includes(`"clientId":"${outdoor.id}"`) && lines.includes('refused')
    })
    expect((await box.observe.device(outdoor.id)).status).toBe('offline')
    const joining = await refused('device', 'set', outdoor.id, 'identity@2')
    expect(joining).toMatchObject({ code: exitCodes.conflict })
    expect((await box.observe.device(indoor.id)).status).toBe('online')
  })
})
