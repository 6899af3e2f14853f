import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, FleetInABox, model } from '../../support/fleet-in-a-box.ts'
import { identityFiles } from '../../support/identity-bundle.ts'

let box: FleetInABox
beforeAll(async () => {
  box = await FleetInABox.open()
})
afterAll(() => box?.close())

test('a device installs what a team released, which heard of the team over MQTT alone', async () => {
  const { stage, directory } = box
  const device = await box.addDevice(1)
  const pass = ['--passphrase-file', stage.passphraseFile]
  const at = (name: string) => join(directory, name)

  const { path } = await stage.godwit<{ path: string }>(
    'key',
    'generate',
    'team',
    '--keys',
    at('team'),
    ...pass,
  )
  writeFileSync(at('team.pub.json'), JSON.stringify(await stage.godwit('key', 'public', path)))
  await stage.godwit(
    ...['trust', 'delegate', 'sensing', '--prefix', model.slice(0, 4), '--key', at('team.pub.json')],
    ...['--out', at('targets.json')],
  )
  const key = join(stage.keyDirectory, 'targets.key.json')
  await stage.godwit('sign', at('targets.json'), '--key', key, ...pass, '--out', at('lead.sig.json'))
  await stage.godwit(
    ...['trust', 'assemble', at('targets.json'), '--signature', at('lead.sig.json')],
    ...['--out', at('targets.signed.json')],
  )
  await stage.godwit('trust', 'push', at('targets.signed.json'))

  await stage.godwit(...box.publishArguments('1', identityFiles, path), '--role', 'sensing')
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
  const { report } = await box.observe.device(device.id)
  expect(report?.slots['default']?.active).toMatchObject({ model, version: '1' })
})
