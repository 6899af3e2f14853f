import { expect, test } from 'vitest'
import { signerOf } from '../support/tuf-repository.ts'
import { refused, slotFor, Victim } from './victim.ts'

test('a list that nobody of the publishers signed installs nothing', async () => {
  const victim = new Victim()
  const wanted = victim.lists('backdoor', '1')
  victim.repository.signers.set('targets', [signerOf('mallory')])
  victim.repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^targets/))
  expect(await victim.finds(wanted)).toMatchObject(refused('bad-signature'))
})

test('a root of somebody else takes nothing over', async () => {
  const victim = new Victim()
  await victim.hears()
  const { repository } = victim
  for (const role of ['root', 'targets', 'snapshot', 'timestamp']) repository.setKeys(role, ['mallory'])
  const wanted = victim.lists('backdoor', '1')
  repository.publishAll()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^root 2/))
  expect(await victim.finds(wanted)).toMatchObject({ trusted: false })
})

test('a stolen broker password sends no directive that counts', async () => {
  const victim = new Victim()
  const goal = victim.lists('gauge', '1')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.takes(victim.directive(1, slotFor(goal), 'mallory'))).toMatchObject(
    refused('bad-signature'),
  )
  expect(victim.trust.directive).toBeUndefined()
})
