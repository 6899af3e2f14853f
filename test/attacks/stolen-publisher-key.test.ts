import { expect, test } from 'vitest'
import { signerOf } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

test('one key of two that a release needs, leaked from a CI, releases nothing', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.setKeys('targets', ['pia', 'quin'], 2)
  const good = victim.lists('gauge', '1')
  repository.publishAll()
  await victim.hears()
  expect(await victim.finds(good)).toMatchObject({ trusted: true })
  const bad = victim.lists('gauge', '2', 'backdoor')
  repository.signers.set('targets', [signerOf('pia')])
  repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^targets/))
  expect(await victim.finds(bad)).toMatchObject({ trusted: false })
})

test('once root has revoked it, it signs nothing even together with its fellow', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.setKeys('targets', ['pia', 'quin'], 2)
  repository.publishAll()
  await victim.hears()
  repository.setKeys('targets', ['rosa', 'quin'], 2)
  repository.publishRoot()
  const bad = victim.lists('gauge', '2', 'backdoor')
  repository.signers.set('targets', [signerOf('pia'), signerOf('quin')])
  repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^targets/))
  expect(await victim.finds(bad)).toMatchObject({ trusted: false })
})
