import { expect, test } from 'vitest'
import { refused, Victim } from './victim.ts'

test.each([false, true])(
  'documents of different moments make no whole (hashes listed: %s)',
  async (listsHashes) => {
    const victim = new Victim()
    const { repository } = victim
    repository.listsHashes = listsHashes
    victim.lists('gauge', '1')
    repository.publish()
    const monday = victim.recorded()
    // The same length, so that nothing but the digest tells them apart.
    repository.targets.get('targets')!.targets = {}
    victim.lists('gauge', '2')
    repository.publish()
    // Today's timestamp and snapshot with Monday's targets under today's name.
    const mixed = victim.recorded()
    const names = [...mixed.keys()].filter((name) => name.endsWith('.targets.json')).sort()
    mixed.set(names.at(-1)!, monday.get(names.at(-2)!)!)
    expect(await victim.hears(mixed)).toMatchObject(
      refused(listsHashes ? 'hash-mismatch' : 'version-mismatch'),
    )
  },
)

test('a snapshot that the timestamp does not name is refused', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.publish()
  const mixed = victim.recorded()
  const names = [...mixed.keys()].filter((name) => name.endsWith('.snapshot.json')).sort()
  mixed.set(names.at(-1)!, mixed.get(names.at(-2)!)!)
  expect(await victim.hears(mixed)).toMatchObject(refused('version-mismatch'))
})
