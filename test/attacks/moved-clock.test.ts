import { TrustedTime } from '@godwit/agent/control/clock'
import { expect, test } from 'vitest'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

/** A clock that a test turns, and one that only goes on. */
function device(floor = now, foundation = now) {
  const world = { wallMs: now, monotonicMs: 0, stored: floor }
  const clock = { wallMs: () => world.wallMs, monotonicMs: () => world.monotonicMs }
  const time = new TrustedTime(
    clock,
    floor,
    (value) => {
      world.stored = value
    },
    undefined,
    foundation,
  )
  return { world, time }
}

test('a clock that is turned back, or never set, makes nothing fresh again that expired while the device ran', () => {
  const { world, time } = device()
  world.monotonicMs = 20 * dayMs
  world.wallMs = 0
  expect(time.nowMs()).toBe(now + 20 * dayMs)
  // Older news than what has passed since: time does not go back for it, and it is written down all the same.
  time.raiseFloor(now + 5 * dayMs)
  expect(time.nowMs()).toBe(now + 20 * dayMs)
  expect(world.stored).toBe(now + 5 * dayMs)
  time.raiseFloor(now + 30 * dayMs)
  world.monotonicMs += dayMs
  expect(time.nowMs()).toBe(now + 31 * dayMs)
})

test('a clock that is turned ahead leaves no trace: all is as before when it is right again', () => {
  const { world, time } = device()
  world.wallMs = now + 3650 * dayMs
  expect(time.nowMs()).toBe(world.wallMs)
  world.wallMs = now
  expect(time.nowMs()).toBe(now)
  expect(world.stored).toBe(now)
})

test('when a stolen key loses its say, so does the time that was counted on from its word', () => {
  const { world, time } = device()
  time.raiseFloor(now + 300 * dayMs)
  world.monotonicMs = dayMs
  time.forgetProofs()
  expect(time.nowMs()).toBe(now)
})

test('a device whose clock is years ahead refuses what is fresh, installs nothing, and takes it once the clock is right', async () => {
  const victim = new Victim()
  const goal = victim.lists('gauge', '1')
  victim.repository.publish()
  victim.wallMs = now + 3650 * dayMs
  expect(await victim.hears()).toMatchObject(refused('expired'))
  expect(await victim.takes(victim.directive(1))).toMatchObject(refused('expired'))
  victim.wallMs = now
  expect(await victim.takes(victim.directive(1))).toMatchObject({ trusted: true })
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
})

test('a device that never knew the time takes what is proved, and no older proof after it', async () => {
  const victim = new Victim()
  victim.wallMs = 0
  victim.repository.timestamp.godwit_issued = dateOf(now)
  victim.repository.publish()
  const before = victim.recorded()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  expect(victim.floorMs).toBe(now)
  victim.repository.publish()
  await victim.hears()
  expect(await victim.hears(before)).toMatchObject(refused('rollback'))
})
