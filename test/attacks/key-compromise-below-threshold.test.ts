import { expect, test } from 'vitest'
import { signerOf } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

/** Two of three for root and for targets. */
function guarded(): Victim {
  const victim = new Victim()
  for (const role of ['root', 'targets'])
    victim.repository.setKeys(
      role,
      [`${role}-a`, `${role}-b`, `${role}-c`],
      2,
      role === 'root' ? ['root-1'] : [],
    )
  victim.repository.publishAll()
  return victim
}

test('one stolen root key of two needed changes nothing', async () => {
  const victim = guarded()
  expect(await victim.hears()).toMatchObject({ trusted: true })
  const { repository } = victim
  repository.setKeys('targets', ['mallory'])
  repository.signers.set('root', [signerOf('root-a')])
  repository.publishAll()
  expect(await victim.hears()).toMatchObject(refused('bad-signature', /^root 3/))
  expect(victim.trust.versions.root).toBe(2)
})

test('one stolen root key does not lower the threshold that it would need', async () => {
  const victim = guarded()
  await victim.hears()
  const { repository } = victim
  repository.root.roles['root'] = { keyids: [signerOf('root-a').keyid], threshold: 1 }
  repository.signers.set('root', [signerOf('root-a')])
  repository.publishAll()
  expect(await victim.hears()).toMatchObject(refused('bad-signature'))
})
