import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hub } from '@godwit/hub/wiring'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Desk } from './ceremony-desk.ts'

type Contexts = { contexts: Record<string, { url: string; token: string; root?: string }> }

let own: Desk
let other: Desk
let ownHub: Hub
let otherHub: Hub

async function fleetOf(name: string): Promise<[Desk, Hub]> {
  const desk = new Desk(mkdtempSync(join(tmpdir(), 'godwit-pin-')))
  const [state, keys] = [desk.file('state'), desk.file('offline')]
  await desk.godwit('hub', 'init', '--fleet', name, '--state', state, '--keys', keys)
  const hub = await desk.startHub(state, name)
  const { token } = desk.json<Contexts>('config/contexts.json').contexts[name]!
  delete desk.environment['GODWIT_URL']
  desk.environment['GODWIT_TOKEN'] = token
  await desk.godwit('login', hub.addresses.httpUrl, '--name', name)
  return [desk, hub]
}

/** What a hijacked name, or another hub at the old address, comes to: the same context leads elsewhere. */
function lead(desk: Desk, name: string, target: Partial<Contexts['contexts'][string]>): void {
  const all = desk.json<Contexts>('config/contexts.json')
  Object.assign(all.contexts[name]!, target)
  writeFileSync(desk.file('config/contexts.json'), JSON.stringify(all))
}

beforeAll(async () => {
  ;[own, ownHub] = await fleetOf('own')
  ;[other, otherHub] = await fleetOf('other')
})
afterAll(async () => {
  for (const desk of [own, other]) {
    await desk?.stopHub()
    if (desk) rmSync(desk.directory, { recursive: true, force: true })
  }
})

test('login says which root it believes from now on', async () => {
  const { root } = own.json<Contexts>('config/contexts.json').contexts['own']!
  const first = await ownHub.services.repository.firstRoot()
  expect(Buffer.from(root!, 'base64').equals(first)).toBe(true)
  const said = await own.godwit('login', ownHub.addresses.httpUrl, '--name', 'own')
  expect(said).toMatchObject({ rootSha256: sha256Hex(first) })
})

test('an honest hub passes, with nothing said on the command line', async () => {
  await own.godwit('trust', 'renew', '--out', own.file('renewed.json'))
})

test('a hub that was put in its place offers its own keys in vain', async () => {
  const { url, token } = other.json<Contexts>('config/contexts.json').contexts['other']!
  own.environment['GODWIT_TOKEN'] = token
  lead(own, 'own', { url })
  const refused = await own.refused('trust', 'renew', '--out', own.file('never.json'))
  expect(refused).toMatchObject({ code: 'hub_untrusted' })
  expect(await own.refused('login', url, '--name', 'own')).toMatchObject({ code: 'hub_untrusted' })
})

test('login with a root from elsewhere proves the hub at once', async () => {
  const file = own.write('other-root.json', await otherHub.services.repository.firstRoot())
  own.environment['GODWIT_TOKEN'] = other.environment['GODWIT_TOKEN']
  await own.godwit('login', otherHub.addresses.httpUrl, '--name', 'theirs', '--root', file)
  const wrong = own.write('own-root.json', await ownHub.services.repository.firstRoot())
  const login = ['login', otherHub.addresses.httpUrl, '--name', 'third', '--root', wrong]
  expect(await own.refused(...login)).toMatchObject({ code: 'hub_untrusted' })
  expect(readFileSync(own.file('config/contexts.json'), 'utf8')).not.toContain('third')
})
