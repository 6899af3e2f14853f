import { expect, test } from 'vitest'
import { refused, Victim } from '../../../attacks/victim.ts'
import { dateOf, dayMs, now } from '../../../support/tuf-repository.ts'

/** What a device hears where there is nobody. */
const silence = new Map<string, Uint8Array>()

function nightly(): Victim {
  const victim = new Victim()
  const { repository } = victim
  repository.root.expires = dateOf(now + 365 * dayMs)
  repository.targets.get('targets')!.expires = dateOf(now + 365 * dayMs)
  repository.timestamp.expires = dateOf(now + dayMs)
  return victim
}

test('a device that restarts without a link still knows what it had verified', async () => {
  const victim = nightly()
  const goal = victim.lists('gauge', '1')
  victim.repository.publishAll()
  await victim.hears()
  victim.restart()
  await victim.hears(silence).catch(() => {})
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  // It may have been listed since: that is for the hub to say, not for an old list.
  expect(await victim.finds({ ...goal, version: '2' })).toMatchObject(refused('absent'))
})

test('without a link for longer than the timestamp holds, it installs what its publishers gave a grace, until that ends', async () => {
  const victim = nightly()
  const strict = victim.lists('gauge', '1')
  const patient = victim.lists('gauge', '2')
  const entry = victim.repository.targets.get('targets')!.targets['gauge/2/release.json']!
  entry.custom = { ...entry.custom, maxStalenessMs: 7 * dayMs }
  victim.repository.publishAll()
  await victim.hears()
  victim.wallMs = now + 3 * dayMs
  victim.restart()
  await victim.hears(silence).catch(() => {})
  // That it waits for the link, and not that it failed.
  expect(await victim.finds(strict)).toMatchObject(refused('absent'))
  expect(await victim.finds(patient)).toMatchObject({ trusted: true })
  // The hub is there and has stopped signing: the same.
  await victim.hears()
  expect(await victim.finds(strict)).toMatchObject(refused('expired'))
  expect(await victim.finds(patient)).toMatchObject({ trusted: true })
  victim.wallMs = now + 8 * dayMs
  expect(await victim.finds(patient)).toMatchObject(refused('expired'))
})

/** Somebody climbs up with a stick whose metadata ended so many days before; it lists more than the device had seen. */
async function latecomer(lateDays: number) {
  const victim = nightly()
  const known = victim.lists('gauge', '1')
  victim.repository.publishAll()
  await victim.hears()
  victim.wallMs = now + 20 * dayMs
  const strict = victim.lists('gauge', '2')
  const patient = victim.lists('gauge', '3')
  const entry = victim.repository.targets.get('targets')!.targets['gauge/3/release.json']!
  entry.custom = { ...entry.custom, maxStalenessMs: 7 * dayMs }
  victim.repository.timestamp.expires = dateOf(victim.wallMs - lateDays * dayMs)
  victim.repository.snapshot.expires = dateOf(victim.wallMs + 30 * dayMs)
  victim.repository.publish()
  return { victim, known, strict, patient }
}

test('what has expired on its way is kept, and installs what its publishers gave a grace', async () => {
  const { victim, known, strict, patient } = await latecomer(3)
  expect(await victim.hears()).toMatchObject(refused('expired', /^timestamp/))
  expect(await victim.finds(patient)).toMatchObject({ trusted: true })
  for (const other of [known, strict]) expect(await victim.finds(other)).toMatchObject(refused('expired'))
  victim.restart()
  await victim.hears(silence).catch(() => {})
  expect(await victim.finds(patient)).toMatchObject({ trusted: true })
})

test('later than that grace nothing is installed by it', async () => {
  const { victim, patient } = await latecomer(8)
  await victim.hears()
  expect(await victim.finds(patient)).toMatchObject(refused('expired'))
})

test('nor by an older one than the device has seen, expired or not', async () => {
  const { victim, patient } = await latecomer(3)
  const old = victim.recorded()
  delete victim.repository.targets.get('targets')!.targets['gauge/3/release.json']
  victim.repository.publish()
  await victim.hears()
  victim.restart()
  expect(await victim.hears(old)).toMatchObject(refused('rollback'))
  expect(await victim.finds(patient)).toMatchObject({ trusted: false })
})

test('an expired timestamp that names what cannot be had is refused as expired, not taken for a broken link', async () => {
  const { victim } = await latecomer(3)
  const alone = victim.recorded()
  for (const name of alone.keys()) if (name.includes('snapshot')) alone.delete(name)
  expect(await victim.hears(alone)).toMatchObject(refused('expired', /^timestamp/))
})
