import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { conditionsNow } from '@godwit/agent/control/deployment/conditions'
import { mayInstall } from '@godwit/agent/control/deployment/may-install'
import type { SlotGoal } from '@godwit/protocol/messages/directive'
import { expect, onTestFinished, test } from 'vitest'
import { fakeTree } from '../../energy/fake-sysfs.ts'

const noon = Date.UTC(2026, 10, 25, 12)
const timeAt = (wallMs: number, floorMs = 0) =>
  new TrustedTime({ wallMs: () => wallMs, monotonicMs: () => 0 }, floorMs, () => {})
const battery = (name: string, files: Record<string, string | number>) =>
  Object.fromEntries(
    Object.entries({ type: 'Battery', status: 'Discharging', ...files }).map(([file, content]) => [
      `/sys/class/power_supply/${name}/${file}`,
      content,
    ]),
  )

test('the emptiest battery that is being emptied counts, and no battery of a mouse', () => {
  const sysfs = fakeTree({
    ...battery('BAT0', { capacity: 80 }),
    ...battery('BAT1', { capacity: 35 }),
    ...battery('BAT2', { capacity: 5, status: 'Charging' }),
    ...battery('hidpp_battery_0', { capacity: 2, scope: 'Device' }),
    '/sys/class/power_supply/AC/type': 'Mains',
  })
  expect(conditionsNow(sysfs, timeAt(noon), {}).batteryPercent).toBe(35)
})

test('on mains the battery is nobody’s trouble', () => {
  const sysfs = fakeTree(battery('BAT0', { capacity: 3, status: 'Charging' }))
  expect(conditionsNow(sysfs, timeAt(noon), {})).not.toHaveProperty('batteryPercent')
})

test('the hottest zone counts, and none that is switched off', () => {
  const temp = (zone: number) => `/sys/class/thermal/thermal_zone${zone}/temp`
  const sysfs = fakeTree({ [temp(0)]: 41_000, [temp(1)]: 68_500, [temp(2)]: 0, [temp(3)]: 255_000 })
  expect(conditionsNow(sysfs, timeAt(noon), {}).temperatureCelsius).toBe(68.5)
})

test('the hour is that of the place, and there is none while the clock is behind', () => {
  const moment = (wallMs: number, floorMs: number) =>
    conditionsNow(fakeTree(), timeAt(wallMs, floorMs), { timeZone: 'Asia/Tokyo' }).moment
  expect(moment(noon, 0)).toEqual({ weekday: 3, minute: 21 * 60 })
  expect(moment(noon, noon + 1)).toBeUndefined()
})

test('a lock is a file that is there', () => {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-lock-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const lockFile = join(directory, 'lock')
  const isLocked = () => conditionsNow(fakeTree(), timeAt(noon), { lockFile }).isLocked
  expect(isLocked()).toBe(false)
  writeFileSync(lockFile, '')
  expect(isLocked()).toBe(true)
})

test('a window that this agent cannot read opens nothing', () => {
  const hindrance = (installWindows: string[]) =>
    mayInstall(
      { windows: [], timeZone: 'UTC' },
      fakeTree(),
      timeAt(noon),
    )('self_testing', {
      installWindows,
    } as unknown as SlotGoal)?.code
  expect(hindrance(['11:00-13:00'])).toBeUndefined()
  expect(hindrance(['at full moon'])).toBe('outside_window')
})
