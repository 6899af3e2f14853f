import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { readFallback } from '@godwit/agent/control/fallback/read-fallback'
import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Release } from '@godwit/protocol/release/release'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dateOf, dayMs, now, TufRepository } from '../../support/tuf-repository.ts'
import { Device } from './support/device.ts'
import { FakeHub } from './support/fake-hub.ts'

let hub: FakeHub
let device: Device
let image: string

beforeEach(async () => {
  hub = await FakeHub.start()
  hub.repository.timestamp.godwit_issued = dateOf(now)
  image = mkdtempSync(join(tmpdir(), 'godwit-image-'))
})

afterEach(async () => {
  await device?.remove()
  await hub.stop()
  rmSync(image, { recursive: true, force: true })
})

/** The release in a directory, as `godwit version download` writes it. */
function factoryRelease(version: string, options: Parameters<FakeHub['publishRelease']>[1] = {}): SlotGoal {
  const goal = hub.publishRelease(version, options)
  const put = (path: string, bytes: Uint8Array) => {
    mkdirSync(dirname(join(image, path)), { recursive: true })
    writeFileSync(join(image, path), bytes)
  }
  const bytes = hub.blobs.get(goal.releaseDigest)!
  put('release.json', bytes)
  for (const [path, { sha256 }] of Object.entries((JSON.parse(bytes.toString()) as Release).files))
    put(`files/${path}`, hub.blobs.get(sha256)!)
  for (const [name, document] of hub.repository.files) put(`metadata/${name}`, document)
  return goal
}

const slots = (fallback?: string) => ({
  slots: { default: { source: { kind: 'replay', path: '/dev/null' }, ...(fallback && { fallback }) } },
})

async function started(change: Record<string, unknown> = slots(image)): Promise<void> {
  device = new Device(hub, change)
  await device.start()
}

const told = (kind: string) => hub.events.filter((event) => event.kind === kind)
const because = (kind: string) => String(told(kind)[0]?.detail['because'])

describe('a device that no release has reached yet', () => {
  test('serves the one that it came with, after its golden vectors, and says so', async () => {
    const factory = factoryRelease('factory')
    // Of this slot it says nothing; of telemetry, that windows are short.
    hub.direct(undefined)
    await started()
    await hub.until(() => hub.windows.length > 2 && told('fallback_serving').length > 0)
    expect(hub.windows.every(({ releaseDigest }) => releaseDigest === factory.releaseDigest)).toBe(true)
    expect(hub.slot?.active).toMatchObject({ version: 'factory', releaseDigest: factory.releaseDigest })
    expect(hub.slot?.active?.proof).toMatch(/^[0-9a-f]{64}$/)
    expect(because('fallback_serving')).toMatch(/no release has come yet/)
  })

  test('takes the first one over it, and goes back to it when the second fails', async () => {
    factoryRelease('factory')
    await started()
    await hub.until(() => hub.slot?.active?.version === 'factory')
    await hub.ended(hub.direct(hub.publishRelease('1', { behaviour: { errors: true } })))
    expect(hub.slot).toMatchObject({ phase: 'rolled_back', code: 'probation_error_rate' })
    expect(hub.slot?.active?.version).toBe('factory')
    await hub.ended(hub.direct(hub.publishRelease('2')))
    expect(hub.slot).toMatchObject({ phase: 'committed' })
    expect(hub.slot?.lastKnownGood?.version).toBe('factory')
    expect(hub.duplicates).toBe(0)
  })

  test('writes it to the disk once, and finds it there at the next start', async () => {
    const { releaseDigest } = factoryRelease('factory')
    hub.direct(undefined)
    await started()
    await hub.until(() => hub.slot?.active?.version === 'factory')
    const staged = join(device.stateDir, 'releases', releaseDigest)
    const first = statSync(staged).ino
    await device.stop()
    const before = hub.windows.length
    await device.start()
    await hub.until(() => hub.windows.length > before + 1)
    expect(statSync(staged).ino).toBe(first)
    expect(told('fallback_serving')).toHaveLength(1)
  })

  test('does not serve one that fails its golden vectors', async () => {
    factoryRelease('factory', { behaviour: { test: 'wrong' } })
    await started()
    await hub.until(() => told('fallback_unusable').length > 0)
    expect(hub.slot?.active).toBeUndefined()
    expect(hub.windows).toHaveLength(0)
    await hub.ended(hub.direct(hub.publishRelease('1')))
    expect(hub.slot).toMatchObject({ phase: 'committed' })
  })
})

describe('when what is active does not start any more and nothing came before it', () => {
  test('the device rolls back to the release that it came with, and the hub hears of it', async () => {
    const factory = factoryRelease('factory')
    await started(slots())
    const goal = hub.publishRelease('1')
    await hub.ended(hub.direct(goal))
    await device.stop()
    // The image brings a fallback from now on; the disk has lost the one release there was.
    device = new Device(hub, slots(image), device.stateDir)
    for (const place of ['releases', 'blobs'])
      rmSync(join(device.stateDir, place), { recursive: true, force: true })
    await device.start()
    await hub.until(() => hub.slot?.phase === 'rolled_back', 60_000)
    expect(hub.slot?.active?.releaseDigest).toBe(factory.releaseDigest)
    const seen = hub.windows.length
    await hub.until(() => hub.windows.length > seen + 1)
    expect(hub.windows.at(-1)?.releaseDigest).toBe(factory.releaseDigest)
    expect(because('fallback_serving')).toMatch(/the active release cannot be served/)
    // And what comes next is installed as ever.
    await hub.ended(hub.direct(hub.publishRelease('2')))
    expect(hub.slot).toMatchObject({ phase: 'committed' })
  })
})

describe('a directory that is not what it should be is not used, and the hub hears why', () => {
  test.each<[string, () => void, RegExp]>([
    [
      'a file that was altered',
      () => writeFileSync(join(image, 'files/model.json'), '{"version":"f?ctory"}'),
      /digest|bytes/,
    ],
    ['a file that is missing', () => rmSync(join(image, 'files/golden.json')), /golden\.json/],
    [
      'a release document that was altered',
      () => appendFileSync(join(image, 'release.json'), ' '),
      /length|hash/,
    ],
    [
      'a link in the place of a file',
      () => {
        rmSync(join(image, 'files/model.json'))
        symlinkSync('/etc/passwd', join(image, 'files/model.json'))
      },
      /ELOOP|symbolic/,
    ],
    ['no trust metadata', () => rmSync(join(image, 'metadata'), { recursive: true }), /no timestamp\.json/],
    ['nothing at all', () => rmSync(image, { recursive: true }), /no timestamp\.json/],
  ])('%s', async (_, harm, reason) => {
    factoryRelease('factory')
    harm()
    await started()
    await hub.until(() => told('fallback_unusable').length > 0)
    expect(because('fallback_unusable')).toMatch(reason)
    expect(hub.slot?.active).toBeUndefined()
    expect(existsSync(join(device.stateDir, 'releases'))).toBe(false)
  })

  const rootOf = (repository: TufRepository) => repository.files.get('1.root.json')!

  test('one of another fleet', async () => {
    factoryRelease('factory')
    const stranger = new TufRepository({ extraRoles: ['director'] })
    for (const role of ['root', 'timestamp', 'snapshot', 'targets'])
      stranger.setKeys(role, [`${role} of somebody else`])
    const root = stranger.publishRoot()
    await expect(readFallback(image, rootOf(hub.repository))).resolves.toMatchObject({
      release: { version: 'factory' },
    })
    await expect(readFallback(image, root)).rejects.toMatchObject({ code: 'fallback-refused' })
  })

  test('one that the publishers do not list', async () => {
    hub.repository.publish()
    factoryRelease('factory', { listed: false })
    await expect(readFallback(image, rootOf(hub.repository))).rejects.toMatchObject({
      code: 'fallback-refused',
      message: expect.stringMatching(/no role lists/),
    })
  })

  test('one that was listed long ago is good: what a device came with does not spoil in a store', async () => {
    hub.repository.timestamp.godwit_issued = dateOf(now - 3_000 * dayMs)
    factoryRelease('factory')
    await expect(readFallback(image, rootOf(hub.repository))).resolves.toMatchObject({
      release: { version: 'factory' },
    })
  })
})
