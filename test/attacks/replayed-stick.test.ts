import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hearMetadata } from '@godwit/agent/control/medium/metadata'
import { readStick } from '@godwit/agent/control/medium/stick'
import { targetsBytesMax } from '@godwit/protocol/limits'
import { topics } from '@godwit/protocol/topics'
import { expect, onTestFinished, test } from 'vitest'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { fleet, refused, Victim } from './victim.ts'

/** What the hub signs for a stick: the same list, valid for a month, marked. Then it goes on to higher versions. */
function stickOf(victim: Victim): Map<string, Uint8Array> {
  const { repository } = victim
  Object.assign(repository.timestamp, { godwit_medium: true, expires: dateOf(now + 30 * dayMs) })
  repository.publish()
  const files = victim.recorded()
  delete repository.timestamp.godwit_medium
  repository.timestamp.expires = dateOf(now + dayMs)
  repository.publish()
  return files
}

const imports = (victim: Victim, files: ReadonlyMap<string, Uint8Array>) => {
  hearMetadata(victim.trust, fleet, files)
  return victim.trust.refresh()
}

test('a stick is good for as long as it was signed for, on a device that hears nobody', async () => {
  const victim = new Victim()
  const goal = victim.lists('gauge', '1')
  const stick = stickOf(victim)
  victim.wallMs = now + 20 * dayMs
  expect(await imports(victim, stick)).toMatchObject({ trusted: true })
  victim.restart()
  expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  victim.wallMs = now + 31 * dayMs
  expect(await victim.finds(goal)).toMatchObject(refused('expired'))
})

test('its metadata freezes nobody over the wire: there it is as good as not said', async () => {
  const victim = new Victim()
  const stick = stickOf(victim)
  expect(victim.trust.heard(topics.meta(fleet, 'timestamp'), stick.get('timestamp.json')!)).toBe(false)
  const overHttp = new Victim(async (name) => stick.get(name) ?? null)
  await expect(overHttp.trust.refresh()).rejects.toMatchObject({ code: 'metadata-unavailable' })
})

test('an old stick is refused by a device that has heard from its hub since', async () => {
  const victim = new Victim()
  const stick = stickOf(victim)
  expect(await victim.hears()).toMatchObject({ trusted: true })
  victim.trust.forgetHeard()
  expect(await imports(victim, stick)).toMatchObject(refused('rollback', /^timestamp/))
})

test('a device that has taken a stick goes on with what its hub says, which is later', async () => {
  const victim = new Victim()
  const stick = stickOf(victim)
  await imports(victim, stick)
  expect(await victim.hears()).toMatchObject({ trusted: true })
})

test('a broker that cries higher numbers does not drown the stick', async () => {
  const victim = new Victim()
  const stick = stickOf(victim)
  const lie = Buffer.from('{"signatures":[],"signed":{"_type":"timestamp","version":999999}}')
  victim.trust.heard(topics.meta(fleet, 'timestamp'), lie)
  expect(await imports(victim, stick)).toMatchObject({ trusted: true })
})

test('role names on a stick that lead elsewhere lead nowhere', async () => {
  const victim = new Victim()
  const stick = stickOf(victim)
  for (const name of ['1...%2f..%2fdirective.json', '..%2f..%2fboot.json', '1.%2e%2e.json', '1.%.json'])
    stick.set(name, Buffer.from('{}'))
  expect(await imports(victim, stick)).toMatchObject({ trusted: true })
})

test('sparse metadata by the thousand fills no memory', () => {
  const stick = mkdtempSync(join(tmpdir(), 'godwit-stick-'))
  onTestFinished(() => rmSync(stick, { recursive: true, force: true }))
  mkdirSync(join(stick, 'metadata'))
  for (let version = 1; version <= 200; version++) {
    const path = join(stick, 'metadata', `${version}.targets.json`)
    writeFileSync(path, '')
    truncateSync(path, targetsBytesMax)
  }
  expect(() => readStick(stick, 'cam')).toThrow(/bytes, at most \d+ expected/)
})
