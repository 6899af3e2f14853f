import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seamless } from '../../support/sequence-audit.ts'
import { Device } from './support/device.ts'
import { FakeHub } from './support/fake-hub.ts'

const dayMs = 86_400_000

let hub: FakeHub
let device: Device
beforeEach(async () => {
  hub = await FakeHub.start()
  device = new Device(hub)
  await device.start()
})
afterEach(async () => {
  await device.remove()
  await hub.stop()
})

const windowsMore = (count: number) => {
  const before = hub.windows.length
  return hub.until(() => hub.windows.length > before + count)
}

test.each([
  ['ahead by ten years', 3_652 * dayMs],
  ['ahead by three days', 3 * dayMs],
  ['back behind everything that is proved, to 1970', -20_000 * dayMs],
])(
  'a clock that jumps %s costs no window, no running model, and no install once it is right again',
  async (_how, jumpMs) => {
    await hub.ended(hub.direct(hub.publishRelease('1')))
    const floor = hub.reports.at(-1)!.clock.floor
    device.clockOffMs = jumpMs
    await windowsMore(3)
    await hub.cut()
    await hub.reconnect()
    await windowsMore(3)
    expect(hub.slot?.active?.version).toBe('1')
    device.clockOffMs = 0
    await hub.ended(hub.direct(hub.publishRelease('2')))
    expect(hub.slot).toMatchObject({ phase: 'committed', code: 'ok', active: { version: '2' } })
    // Only what is signed may raise the floor; a clock may not.
    const later = hub.reports.at(-1)!.clock.floor
    expect(later).toBeGreaterThanOrEqual(floor)
    expect(later).toBeLessThan(floor + dayMs)
    await windowsMore(3)
    expect(hub.audit()).toEqual(seamless)
  },
)

test('two agents from one cloned card throw each other out more and more rarely, and both serve on', async () => {
  await hub.ended(hub.direct(hub.publishRelease('1')))
  await device.stop()
  const copy = mkdtempSync(join(tmpdir(), 'godwit-clone-'))
  cpSync(device.stateDir, copy, { recursive: true })
  const clone = new Device(hub, {}, copy)
  try {
    await Promise.all([device.start(), clone.start()])
    const served = (one: Device) =>
      one.said.filter(({ message }) => message === 'serving' || message === 'runner lost').at(-1)?.message
    const downs = (one: Device) => one.said.filter(({ message }) => message === 'link down')
    await device.until(() => downs(device).length >= 5)
    await clone.until(() => downs(clone).length >= 5)
    // Never stable, so each time is a failure more, and the pause before the next is drawn from a longer stretch.
    expect(Number(downs(device).at(-1)!.fields['failures'])).toBeGreaterThanOrEqual(5)
    expect([served(device), served(clone)]).toEqual(['serving', 'serving'])
    // By which a hub knows them: a start of an agent that comes back after another was heard (hub/fleet/twins).
    const boots = hub.states.filter(({ status }) => status === 'online').map(({ bootId }) => bootId)
    expect(new Set(boots.slice(-8)).size).toBe(2)
  } finally {
    await clone.stop()
    rmSync(copy, { recursive: true, force: true })
  }
})
