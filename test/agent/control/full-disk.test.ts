import { execFileSync } from 'node:child_process'
import { rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seamless } from '../../support/sequence-audit.ts'
import { fillDisk, mayMount, mountTmpfs, unmountTmpfs } from '../../support/tmpfs.ts'
import { Device } from './support/device.ts'
import { FakeHub } from './support/fake-hub.ts'

/** Windows that the fake runner sends ahead of an answer; more than these have not just been sent before it stopped. */
const runnerAhead = 4

describe.skipIf(!mayMount())(
  'a state directory on a full or read-only disk (skipped where mounting is not allowed)',
  () => {
    let hub: FakeHub
    let device: Device

    beforeEach(async () => {
      hub = await FakeHub.start()
      device = new Device(hub)
      mountTmpfs(device.stateDir)
    })

    afterEach(async () => {
      await device.stop()
      unmountTmpfs(device.stateDir)
      await device.remove()
      await hub.stop()
    })

    const ballast = () => join(device.stateDir, 'ballast')
    const freeBytes = () => statfsSync(device.stateDir).bavail * statfsSync(device.stateDir).bsize

    const fill = () => fillDisk(ballast())

    const remount = (mode: 'ro' | 'rw') =>
      execFileSync('mount', ['-o', `remount,${mode},size=24m`, device.stateDir])

    const said = (message: string) => device.said.filter((line) => line.message === message)

    async function serving() {
      await device.start()
      const goal = hub.publishRelease('1')
      await hub.ended(hub.direct(goal))
      return goal
    }

    test('serves on, says so, holds every window, and stores them all afterwards', async () => {
      await serving()
      const reports = hub.reports.length
      fill()
      await device.until(() => said('a window waits for the disk').length > 3 * runnerAhead)
      await hub.until(() => hub.reports.length > reports)
      expect(said('cannot store windows')).toHaveLength(1)
      expect(said('runner lost')).toEqual([])
      const reached = hub.windows.length
      rmSync(ballast())
      await hub.until(() => hub.events.some(({ kind }) => kind === 'storage_recovered'))
      await hub.until(() => hub.windows.length > reached + 3 * runnerAhead)
      expect(hub.audit()).toEqual(seamless)
      const told = hub.events.find(({ kind }) => kind === 'storage_recovered')!
      expect(told.detail).toMatchObject({ windowsDropped: 0, eventsDropped: 0 })
      expect(told.detail['windowsHeld']).toBeGreaterThan(3 * runnerAhead)
      expect(hub.slot?.active?.version).toBe('1')
    })

    test('a report from a full disk tells how full it is', async () => {
      await serving()
      fill()
      await hub.until(() => (hub.reports.at(-1)?.free.diskBytes ?? 1e9) < 65_536)
      expect(freeBytes()).toBeLessThan(65_536)
      expect(hub.slot?.active?.version).toBe('1')
    })

    test('a release sent to a full disk is installed when there is room, without being sent again', async () => {
      await serving()
      fill()
      await device.until(() => said('a window waits for the disk').length > 0)
      const version = hub.direct(hub.publishRelease('2'))
      await device.until(() => said('cannot take a directive now').length > 0)
      expect(hub.slot?.active?.version).toBe('1')
      rmSync(ballast())
      await hub.ended(version)
      expect(hub.slot).toMatchObject({ phase: 'committed', active: { version: '2' } })
    })

    test('a runner that crashes while the disk is full is started again', async () => {
      await device.start()
      await hub.ended(hub.direct(hub.publishRelease('1', { behaviour: { crashAfterWindows: 14 } })))
      fill()
      await device.until(() => said('runner lost').length > 1)
      await device.until(() => said('serving').length > 2)
      rmSync(ballast())
      await hub.until(() => hub.events.some(({ kind }) => kind === 'storage_recovered'))
      expect(hub.audit()).toEqual(seamless)
    })

    test('started on a read-only disk, it stores what it has measured as soon as it may write, without a restart', async () => {
      await serving()
      await device.stop()
      remount('ro')
      await device.start()
      await device.until(() => said('a window waits for the disk').length > 3 * runnerAhead)
      remount('rw')
      await hub.until(() => hub.events.some(({ kind }) => kind === 'storage_recovered'))
      const seen = hub.windows.length
      await hub.until(() => hub.windows.length > seen + 2)
      expect(hub.audit()).toEqual(seamless)
      expect(hub.slot?.active?.version).toBe('1')
    })

    test('one that becomes a gateway on a read-only disk serves its own model, and says that it is none', async () => {
      await serving()
      await device.stop()
      remount('ro')
      device = new Device(hub, { gateway: { listen: '127.0.0.1:0', bytesMax: '16MiB' } }, device.stateDir)
      await device.start()
      await device.until(() => said('serving').length > 0)
      await device.until(() => device.said.some(({ fields }) => fields['kind'] === 'gateway_down'))
    })

    test.each([
      ['full', fill, () => rmSync(ballast())],
      ['read-only', () => remount('ro'), () => remount('rw')],
    ])('an agent that starts on a %s disk serves what it had', async (_name, harm, mend) => {
      await serving()
      await device.stop()
      harm()
      const before = hub.reports.length
      await device.start()
      await device.until(() => said('serving').length > 1)
      await hub.until(() => hub.reports.length > before && hub.slot?.active?.version === '1')
      // Either way it is said: that nothing outlives this process, or that windows wait.
      await device.until(() =>
        device.said.some(
          ({ message, fields }) =>
            fields['kind'] === 'state_not_durable' || message === 'cannot store windows',
        ),
      )
      await device.stop()
      mend()
      await device.start()
      const seen = hub.windows.length
      await hub.until(() => hub.windows.length > seen + 2)
    })
  },
)
