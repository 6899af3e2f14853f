import { expect, onTestFinished, test } from 'vitest'
import { goalOf, listedVersion, plainFiles, TestDevice } from '../hub/mqtt/test-device.ts'
import { newHub } from '../hub/support/new-hub.ts'
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

test('a hub takes its directives up again above what a thief led its device to', async () => {
  const box = await newHub()
  onTestFinished(() => box.close())
  await box.hub.start()
  const cam = await TestDevice.enrolled(box, 'cam', 11)
  const other = await TestDevice.enrolled(box, 'other', 12)
  const led = await listedVersion(box, '1', plainFiles(1))
  const { directives, fleet } = box.hub.services
  const issue = () =>
    directives.setGoal(['cam', 'other'], 'default', { ...goalOf(led), force: true }, { who: 'ana' })
  await issue()
  const says = (device: TestDevice, version: number) =>
    fleet.acceptReport(device.id, device.report(version, { phase: 'idle', attempt: 0, answered: version }))
  expect(await says(cam, 900_000)).toMatchObject({ trusted: true })
  // One that claims the end of the numbers gains nothing and spoils nothing for the others.
  expect(await says(other, Number.MAX_SAFE_INTEGER)).toMatchObject({ trusted: true })
  expect([...(await issue())]).toEqual([
    ['cam', 900_001],
    ['other', 2],
  ])
})
