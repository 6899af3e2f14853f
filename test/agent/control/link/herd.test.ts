import { backoffMs } from '@godwit/agent/control/link/backoff'
import { expect, test } from 'vitest'
import { Dice } from '../../../support/dice.ts'

const devices = 1_000
const limits = { backoffMsMin: 1_000, backoffMsMax: 300_000 }

/**
 * Connections that a broker sees in each second, from the moment at which it went away from all devices at once. Each
 * attempt that finds it there is the last.
 *
 * @param awayMs how long it stays away
 * @param spreadMs what the hub had asked for before
 */
function connections(awayMs: number, spreadMs: number): { perSecond: number[]; tries: number } {
  const dice = new Dice(7)
  const perSecond: number[] = []
  let tries = 0
  for (let device = 0; device < devices; device++) {
    let atMs = 0
    for (let failures = 1; ; failures++) {
      atMs += backoffMs(failures, limits, dice.roll(), spreadMs)
      if (atMs >= awayMs) break
      tries++
    }
    const second = Math.floor((atMs - awayMs) / 1_000)
    perSecond[second] = (perSecond[second] ?? 0) + 1
  }
  return { perSecond: Array.from(perSecond, (count) => count ?? 0), tries }
}

test('a broker that comes back after a minute sees a thousand devices over a minute and not in one second', () => {
  const { perSecond, tries } = connections(60_000, 0)
  expect(perSecond.reduce((sum, count) => sum + count, 0)).toBe(devices)
  expect(Math.max(...perSecond)).toBeLessThan(devices / 20)
  expect(perSecond.length).toBeGreaterThan(60)
  // Each device has knocked a handful of times, and not once a second.
  expect(tries / devices).toBeLessThan(9)
})

test('one that restarts within a second sees them as spread out as the hub had asked for', () => {
  const { perSecond } = connections(1_000, 60_000)
  expect(Math.max(...perSecond)).toBeLessThan(devices / 30)
  // Without the hub's word there is nothing else to go by, so soon.
  expect(Math.max(...connections(1_000, 0).perSecond)).toBeGreaterThan(devices / 4)
})
