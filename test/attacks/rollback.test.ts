import { expect, test } from 'vitest'
import { refused, slotFor, Victim } from './victim.ts'

test('what was served before is refused after something newer, by a restart too', async () => {
  const victim = new Victim()
  const vulnerable = victim.lists('gauge', '1')
  victim.repository.publish()
  const old = victim.recorded()
  await victim.hears(old)
  expect(await victim.finds(vulnerable)).toMatchObject({ trusted: true })
  delete victim.repository.targets.get('targets')!.targets['gauge/1/release.json']
  victim.lists('gauge', '2')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.hears(old)).toMatchObject(refused('rollback', /^timestamp/))
  victim.restart()
  expect(await victim.hears(old)).toMatchObject(refused('rollback'))
  await victim.hears()
  expect(await victim.finds(vulnerable)).toMatchObject(refused('not-listed'))
})

test.each(['snapshot', 'targets'])('a signed timestamp over an older %s is refused', async (role) => {
  const victim = new Victim()
  victim.repository.publish()
  await victim.hears()
  // Whoever holds the online keys may point backwards; the numbers that the device has seen may not sink.
  const { repository } = victim
  if (role === 'targets') {
    repository.snapshot.meta['targets.json'] = { version: 1 }
    repository.publishSnapshot()
  } else repository.timestamp.meta['snapshot.json'] = { version: 1 }
  repository.publishTimestamp()
  expect(await victim.hears()).toMatchObject(refused('rollback'))
})

test('an old directive is refused after a newer one', async () => {
  const victim = new Victim()
  const first = victim.directive(1, slotFor(victim.lists('gauge', '1')))
  await victim.takes(victim.directive(2))
  expect(await victim.takes(first)).toMatchObject(refused('rollback'))
  victim.restart()
  expect(await victim.takes(first)).toMatchObject(refused('rollback'))
})
