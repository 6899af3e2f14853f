import { expect, test } from 'vitest'
import { signerOf } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

test('one key that signs twice is one signature', async () => {
  const victim = new Victim()
  const { repository } = victim
  repository.setKeys('targets', ['pia', 'quin'], 2)
  repository.publishRoot()
  repository.signers.set('targets', [signerOf('pia'), signerOf('pia')])
  victim.lists('backdoor', '1')
  repository.publish()
  const listed = JSON.parse(Buffer.from(repository.files.get('2.targets.json')!).toString())
  expect(listed.signatures).toHaveLength(2)
  expect(await victim.hears()).toMatchObject(refused('malformed', /two signatures by key/))
})

test('one key under two names is one key', async () => {
  const victim = new Victim()
  const { repository } = victim
  const { key, keyid } = signerOf('pia')
  const alias = `${keyid.slice(0, -1)}${keyid.endsWith('0') ? '1' : '0'}`
  repository.root.keys[keyid] = key
  repository.root.keys[alias] = key
  repository.root.roles['targets'] = { keyids: [keyid, alias], threshold: 2 }
  repository.signers.set('targets', [signerOf('pia'), { ...signerOf('pia'), keyid: alias }])
  repository.publishAll()
  expect(await victim.hears()).toMatchObject(refused('malformed', /has in truth the id/))
})
