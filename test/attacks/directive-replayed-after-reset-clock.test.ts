import { expect, test } from 'vitest'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { refused, slotFor, Victim } from './victim.ts'

test('a device that wakes up in 1970 still knows that an old directive has expired', async () => {
  const victim = new Victim()
  const old = victim.directive(5, { issued: dateOf(now - 60 * dayMs), expires: dateOf(now - 30 * dayMs) })
  // What it has verified since is later, and was written down: the clock's battery is not what it trusts.
  victim.repository.publish()
  await victim.hears()
  await victim.takes(victim.directive(4, { issued: dateOf(now - dayMs) }))
  victim.wallMs = 0
  victim.restart()
  expect(await victim.takes(old)).toMatchObject(refused('expired'))
})

test('nor does a clock that was set back let an older directive in', async () => {
  const victim = new Victim()
  const old = victim.directive(1, slotFor(victim.lists('gauge', '1')))
  await victim.takes(victim.directive(2))
  victim.wallMs = now - 3650 * dayMs
  victim.restart()
  expect(await victim.takes(old)).toMatchObject(refused('rollback'))
})

test('expired metadata is not fresh again because a clock was set back', async () => {
  const victim = new Victim()
  const goal = victim.lists('gauge', '1')
  victim.repository.root.expires = dateOf(now + 365 * dayMs)
  victim.repository.publishAll()
  await victim.hears()
  await victim.takes(
    victim.directive(1, { issued: dateOf(now + 31 * dayMs), expires: dateOf(now + 60 * dayMs) }),
  )
  victim.wallMs = now
  victim.restart()
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject(refused('expired'))
})

test('a timestamp that was verified is time too, for a device that was never directed', async () => {
  const victim = new Victim()
  victim.repository.timestamp.godwit_issued = dateOf(now - dayMs)
  victim.repository.publish()
  await victim.hears()
  victim.wallMs = 0
  victim.restart()
  const old = victim.directive(5, { issued: dateOf(now - 60 * dayMs), expires: dateOf(now - 30 * dayMs) })
  expect(await victim.takes(old)).toMatchObject(refused('expired'))
})
