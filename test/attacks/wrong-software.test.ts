import { expect, test } from 'vitest'
import { refused, slotFor, Victim } from './victim.ts'

test("the valve's release under the camera's name is refused: the list says which is which", async () => {
  const victim = new Victim()
  const camera = victim.lists('camera', '1')
  const valve = victim.lists('valve', '1', 'a release of another length')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds({ ...camera, releaseDigest: valve.releaseDigest })).toMatchObject(
    refused('hash-mismatch'),
  )
  expect(await victim.finds({ ...valve, model: 'camera' })).toMatchObject(refused('hash-mismatch'))
})

test('an entry that calls itself another model than its path is refused', async () => {
  const victim = new Victim()
  const goal = victim.lists('camera', '1')
  const entry = victim.repository.targets.get('targets')!.targets['camera/1/release.json']!
  entry['custom'] = { kind: 'godwit-release/1', model: 'valve', version: '1', releaseCounter: 1 }
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject(refused('malformed', /calls itself valve/))
})

test('a directive of another fleet is refused', async () => {
  const victim = new Victim()
  const goal = victim.lists('camera', '1')
  const crossed = victim.directive(1, { fleet: 'other', ...slotFor(goal) })
  expect(await victim.takes(crossed)).toMatchObject(refused('wrong-fleet'))
})
