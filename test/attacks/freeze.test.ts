import { expect, test } from 'vitest'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { refused, slotFor, Victim } from './victim.ts'

test('a mirror that serves the same for ever is noticed when it expires, and installs nothing new from then on', async () => {
  const victim = new Victim()
  victim.repository.root.expires = dateOf(now + 365 * dayMs)
  victim.repository.publishRoot()
  const goal = victim.lists('gauge', '1')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  victim.wallMs = now + 31 * dayMs
  expect(await victim.hears()).toMatchObject(refused('expired', /^timestamp/))
  expect(await victim.finds(goal)).toMatchObject(refused('expired'))
})

test('the goal that was applied stays, whatever expires', async () => {
  const victim = new Victim()
  await victim.hears()
  await victim.takes(victim.directive(1, slotFor(victim.lists('gauge', '1'))))
  victim.wallMs = now + 400 * dayMs
  victim.restart()
  expect(victim.trust.directive?.slots['default']).toMatchObject({ model: 'gauge', version: '1' })
})

test('a directive that was held back until it expired is refused', async () => {
  const victim = new Victim()
  const held = victim.directive(1)
  victim.wallMs = now + 31 * dayMs
  expect(await victim.takes(held)).toMatchObject(refused('expired'))
})
