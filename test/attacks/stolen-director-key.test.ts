import { expect, test } from 'vitest'
import { signerOf } from '../support/tuf-repository.ts'
import { refused, slotFor, Victim } from './victim.ts'

test('directs a device to what no publisher released, and the device finds it nowhere', async () => {
  const victim = new Victim()
  victim.repository.publish()
  await victim.hears()
  const bytes = { releaseDigest: '66'.repeat(32), releaseBytes: 700 }
  const backdoor = { model: 'gauge', version: '9', ...bytes }
  expect(await victim.takes(victim.directive(1, slotFor(backdoor)))).toMatchObject({ trusted: true })
  expect(await victim.finds(backdoor)).toMatchObject(refused('not-listed'))
})

test('cannot bring back what the publishers have withdrawn', async () => {
  const victim = new Victim()
  const withdrawn = victim.lists('gauge', '1')
  victim.repository.publish()
  await victim.hears()
  delete victim.repository.targets.get('targets')!.targets['gauge/1/release.json']
  victim.repository.publish()
  await victim.hears()
  await victim.takes(victim.directive(1, slotFor(withdrawn)))
  expect(await victim.finds(withdrawn)).toMatchObject(refused('not-listed'))
})

test('signs no metadata, and nothing at all once root has replaced it', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.signers.set('targets', [signerOf('director-1')])
  repository.publish()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^targets/))
  repository.setKeys('targets', ['targets-1'])
  repository.setKeys('director', ['director-2'])
  repository.publishAll()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  expect(await victim.takes(victim.directive(1, {}, 'director-1'))).toMatchObject(refused('bad-signature'))
  expect(await victim.takes(victim.directive(1, {}, 'director-2'))).toMatchObject({ trusted: true })
})
