import { presenceAfter } from '@godwit/hub/fleet/presence'
import { isNewerReport } from '@godwit/hub/fleet/report-order'
import type { Report } from '@godwit/protocol/messages/report'
import { expect, test } from 'vitest'

const state = (status: 'online' | 'sleeping' | 'offline', connection: number, bootId = 'b') => ({
  ...{ status, connection, bootId },
  at: 0,
})
const held = (status: 'online' | 'sleeping' | 'offline', connection: number) => ({
  status,
  connection,
  bootId: 'b',
})

test('the will of an old connection cannot undo a newer one', () => {
  expect(presenceAfter(held('online', 8), state('offline', 7))).toBeUndefined()
})

test('the will of the connection in use takes the device offline', () => {
  expect(presenceAfter(held('online', 8), state('offline', 8))).toMatchObject({
    status: 'offline',
    connection: 8,
  })
})

test('a delayed online of a connection that has ended does not bring the device back', () => {
  expect(presenceAfter(held('offline', 8), state('online', 8))).toBeUndefined()
})

test('a device may go to sleep and wake up on one connection', () => {
  expect(presenceAfter(held('online', 8), state('sleeping', 8))).toMatchObject({ status: 'sleeping' })
  expect(presenceAfter(held('sleeping', 8), state('online', 8))).toMatchObject({ status: 'online' })
})

test('the same state twice changes nothing', () => {
  expect(presenceAfter(held('online', 8), state('online', 8))).toBeUndefined()
})

test('a device that was never heard comes online with any connection number', () => {
  expect(presenceAfter({ status: 'offline', connection: 0 }, state('online', 0))).toMatchObject({
    status: 'online',
  })
})

const report = (session: string, reportVersion: number, at: number) =>
  ({ session, reportVersion, at }) as Report

test('a report counts once, and only upwards within its session', () => {
  expect(isNewerReport(undefined, report('s', 1, 5), 0)).toBe(true)
  expect(isNewerReport(report('s', 3, 5), report('s', 3, 9), 0)).toBe(false)
  expect(isNewerReport(report('s', 3, 5), report('s', 2, 9), 0)).toBe(false)
  expect(isNewerReport(report('s', 3, 5), report('s', 4, 1), 0)).toBe(true)
})

test('a device that lost its state is heard again, though the clock of its life before was years ahead', () => {
  const now = 1_000_000_000
  expect(isNewerReport(report('old', 900, 2 * now), report('new', 1, now), now)).toBe(true)
  expect(isNewerReport(report('old', 900, now + 60_000), report('new', 1, now), now)).toBe(false)
})

test('a report of a session that is over cannot replace one of the session after it', () => {
  expect(isNewerReport(report('new', 1, 50), report('old', 900, 40), 0)).toBe(false)
  expect(isNewerReport(report('old', 900, 40), report('new', 1, 50), 0)).toBe(true)
})
