import { expect, test } from 'vitest'
import { refused, slotFor, Victim } from './victim.ts'

test("somebody else's directive, well signed and newer, is refused and leaves no trace", async () => {
  const victim = new Victim()
  const own = victim.directive(3, slotFor(victim.lists('camera', '1')))
  await victim.takes(own)
  const theirs = victim.directive(4, { deviceId: 'valve-7', ...slotFor(victim.lists('valve', '1')) })
  expect(await victim.takes(theirs)).toMatchObject(refused('wrong-device', /expected.*cam.*valve-7/))
  expect(victim.trust.directive).toMatchObject({ version: 3, deviceId: 'cam' })
  victim.restart()
  expect(victim.trust.directive).toMatchObject({ version: 3 })
})
