import { expect, test } from 'vitest'
import { refused, Victim } from './victim.ts'

test('numbers driven to the end by stolen online keys are forgotten once root replaces the keys', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.timestamp.version = 900_000_000
  repository.snapshot.version = 900_000_000
  repository.publishSnapshot()
  repository.publishTimestamp()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  // Back in the right hands with the same keys: everything that follows looks older.
  repository.timestamp.version = 10
  repository.snapshot.version = 10
  repository.publish()
  expect(await victim.hears()).toMatchObject(refused('rollback'))
  repository.setKeys('timestamp', ['timestamp-2'])
  repository.setKeys('snapshot', ['snapshot-2'])
  const goal = victim.lists('gauge', '1')
  repository.publishAll()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
})
