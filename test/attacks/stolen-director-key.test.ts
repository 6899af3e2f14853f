import { expect, test } from 'vitest'
import { dateOf, dayMs, now, signerOf } from '../support/tuf-repository.ts'
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

test('that sets the clock of a device ahead is undone with the key', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.root.expires = dateOf(now + 365 * dayMs)
  const goal = victim.lists('gauge', '1')
  repository.publishAll()
  await victim.hears()
  const ahead = { issued: dateOf(now + 3650 * dayMs), expires: dateOf(now + 7300 * dayMs) }
  await victim.takes(victim.directive(1, ahead))
  // Not to the end of time: no further than root itself would have it.
  expect(victim.floorMs).toBeLessThan(now + 365 * dayMs)
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject(refused('expired'))
  repository.setKeys('director', ['director-2'])
  repository.root.expires = dateOf(now + 400 * dayMs)
  repository.publishRoot()
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
})

test('cannot count so far that its rightful owner is never newer again', async () => {
  const victim = new Victim()
  await victim.hears()
  const last = Number.MAX_SAFE_INTEGER
  expect(await victim.takes(victim.directive(last))).toMatchObject(refused('version-mismatch'))
  expect(await victim.takes(victim.directive(900_000))).toMatchObject({ trusted: true })
  expect(await victim.takes(victim.directive(900_001))).toMatchObject({ trusted: true })
})
