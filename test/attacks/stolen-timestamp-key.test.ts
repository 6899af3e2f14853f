import { expect, test } from 'vitest'
import { dateOf, dayMs, now, signerOf } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

test('installs nothing: it vouches for a snapshot that it cannot sign', async () => {
  const victim = new Victim()
  const { repository } = victim
  const wanted = victim.lists('backdoor', '1')
  repository.signers.set('targets', [signerOf('mallory')])
  repository.signers.set('snapshot', [signerOf('mallory')])
  repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^snapshot/))
  expect(await victim.finds(wanted)).toMatchObject({ trusted: false })
})

test('does not serve as the key of any other role', async () => {
  const victim = new Victim()
  expect(await victim.takes(victim.directive(1, {}, 'timestamp-1'))).toMatchObject(refused('bad-signature'))
  victim.repository.signers.set('targets', [signerOf('timestamp-1')])
  victim.repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^targets/))
})

test('can freeze a device for as long as it dares to sign, until root takes it away', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.timestamp.expires = dateOf(now + 3650 * dayMs)
  repository.publishTimestamp()
  const frozen = victim.recorded()
  await victim.hears(frozen)
  const goal = victim.lists('gauge', '2')
  repository.timestamp.expires = dateOf(now + 30 * dayMs)
  repository.setKeys('timestamp', ['timestamp-2'])
  repository.publishAll()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  expect(await victim.hears(frozen)).toMatchObject({ trusted: false })
})
