import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'

type Seen = {
  status: string
  directiveVersion: number
  ahead?: Record<string, { device: number; hub: number }>
  birth: { metadata: { targets: number } }
  report: { directiveVersion: number; slots: Record<string, { active: { version: string } }> }
}

let box: FleetInABox
beforeAll(async () => {
  box = await FleetInABox.open()
  await Promise.all([box.addDevice(1), box.publish('1')])
})
afterAll(() => box?.close())

const state = () => join(box.directory, 'hub')
const device = () => box.stage.hub.get<Seen>('/api/v1/devices/mote-1')
const aheadMetric = async () => {
  const answer = await fetch(`${box.stage.hub.url}/metrics`)
  return /^godwit_devices_ahead\{.*\} (\d+)$/m.exec(await answer.text())?.[1]
}

test('a hub that comes back from a backup says who is ahead of it, leads nobody back, and goes on once its lost releases are published again', async () => {
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
  await box.stage.hubProgram.stop()
  cpSync(state(), `${state()}.backup`, { recursive: true })
  await box.stage.runHub()
  await box.publish('2')
  await box.inPhase(await box.rollout('2', allAtOnce), 'completed')
  expect((await device()).ahead).toBeUndefined()
  await box.stage.hubProgram.stop()
  rmSync(state(), { recursive: true })
  cpSync(`${state()}.backup`, state(), { recursive: true })
  await box.stage.runHub()

  const found = await eventually('the device to be found ahead', async () => {
    const seen = await device()
    return seen.ahead?.['directive'] && seen.ahead['targets'] ? seen : undefined
  })
  expect(found.ahead).toMatchObject({
    directive: { device: found.report.directiveVersion, hub: found.directiveVersion },
    targets: { device: found.birth.metadata.targets, hub: found.birth.metadata.targets - 1 },
  })
  expect(await aheadMetric()).toBe('1')
  const { attention } = await box.stage.hub.get<{ attention: { severity: string; text: string }[] }>(
    '/api/v1/overview',
  )
  expect(attention).toContainEqual(
    expect.objectContaining({ severity: 'alarm', text: expect.stringContaining('mote-1 knows newer') }),
  )
  expect(readFileSync(join(box.directory, 'logs', 'hub.log'), 'utf8')).toContain('"code":"hub-behind"')
  // It obeys what it heard last, and works on.
  expect((await device()).report.slots['default']?.active.version).toBe('2')

  for (const version of ['2', '3']) await box.publish(version)
  await box.inPhase(await box.rollout('3', allAtOnce), 'completed')
  await box.allRun('3')
  expect(await aheadMetric()).toBe('0')
}, 120_000)
