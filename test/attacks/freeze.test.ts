import { expect, onTestFinished, test } from 'vitest'
import { listedVersion, plainFiles } from '../hub/mqtt/test-device.ts'
import { newHub, signedTargets } from '../hub/support/new-hub.ts'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { refused, slotFor, Victim } from './victim.ts'

test('a mirror that serves the same for ever is noticed when it expires, and installs nothing new from then on', async () => {
  const victim = new Victim()
  victim.repository.root.expires = dateOf(now + 365 * dayMs)
  victim.repository.publishRoot()
  const goal = victim.lists('gauge', '1')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  victim.wallMs = now + 31 * dayMs
  expect(await victim.hears()).toMatchObject(refused('expired', /^timestamp/))
  expect(await victim.finds(goal)).toMatchObject(refused('expired'))
})

test('the goal that was applied stays, whatever expires', async () => {
  const victim = new Victim()
  await victim.hears()
  await victim.takes(victim.directive(1, slotFor(victim.lists('gauge', '1'))))
  victim.wallMs = now + 400 * dayMs
  victim.restart()
  expect(victim.trust.directive?.slots['default']).toMatchObject({ model: 'gauge', version: '1' })
})

test('a directive that was held back until it expired is refused', async () => {
  const victim = new Victim()
  const held = victim.directive(1)
  victim.wallMs = now + 31 * dayMs
  expect(await victim.takes(held)).toMatchObject(refused('expired'))
})

test('a publisher may allow a stale view for so long, and the hub takes only what a device can read', async () => {
  const box = await newHub()
  onTestFinished(() => box.close())
  const { ref, bytes } = await listedVersion(box, '1', plainFiles(1))
  const offer = (version: number, maxStalenessMs: number) =>
    box.hub.services.repository.acceptTargets(
      signedTargets(version, {
        'gauge/1/release.json': {
          length: bytes.length,
          hashes: { sha256: ref.releaseDigest },
          custom: {
            kind: 'godwit-release/1',
            model: 'gauge',
            version: '1',
            releaseCounter: 1,
            maxStalenessMs,
          },
        },
      }),
      'ana',
    )
  expect(await offer(2, -1)).toMatchObject(refused('malformed', /maxStalenessMs is -1/))
  expect(await offer(2, 7 * dayMs)).toMatchObject({ trusted: true })
})

test('a hub says in its timestamp when it signed it, so that a device without a clock knows', async () => {
  const box = await newHub()
  onTestFinished(() => box.close())
  const bytes = await box.hub.services.repository.serve('timestamp.json')
  const { signed } = JSON.parse(Buffer.from(bytes!).toString())
  expect(Date.parse(signed.godwit_issued)).toBe(box.time.now)
})
