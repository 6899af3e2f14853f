import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seamless } from '../../support/sequence-audit.ts'
import { Device } from './support/device.ts'
import { deviceId, FakeHub, quickProbation } from './support/fake-hub.ts'

let hub: FakeHub
let device: Device

beforeEach(async () => {
  hub = await FakeHub.start()
})

afterEach(async () => {
  await device?.remove()
  await hub.stop()
})

function runnersOf({ stateDir }: Device): { pid: number }[] {
  return JSON.parse(readFileSync(join(stateDir, 'runners.json'), 'utf8')).runners
}

async function started(change: Record<string, unknown> = {}): Promise<void> {
  device = new Device(hub, change)
  await device.start()
}

describe('a deployment', () => {
  test('a device joins, proves a release, serves it, and reports it committed with proof', async () => {
    const goal = hub.publishRelease('1.0.0')
    const version = hub.direct(goal)
    await started()
    await hub.ended(version)
    expect(hub.slot).toMatchObject({ phase: 'committed', code: 'ok', answered: version })
    expect(hub.slot?.active).toMatchObject({
      version: '1.0.0',
      releaseDigest: goal.releaseDigest,
      executionProvider: 'cpu',
    })
    expect(hub.states[0]).toMatchObject({ status: 'online' })
    expect(hub.births).toHaveLength(1)
    expect(hub.windows[0]?.energy?.source).toBeTruthy()
  })

  test('a device whose clock is an hour ahead says so once the hub has acked something', async () => {
    hub.clockAheadMs = -3_600_000
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    const skewMs = () => hub.reports.at(-1)?.clock.skewMs
    await hub.until(() => Math.round((skewMs() ?? 0) / 60_000) === 60)
  })

  test('an address that somebody else listens on is told with the code of the system, and the model serves', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const source = { kind: 'replay', path: '/dev/null' }
    await started({ slots: { default: { source, api: { listen: `127.0.0.1:${port}` } } } })
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await hub.until(() => hub.events.some(({ kind }) => kind === 'api_unavailable'))
    other.close()
    expect(hub.events.find(({ kind }) => kind === 'api_unavailable')).toMatchObject({
      ...{ severity: 'alarm', slot: 'default' },
      detail: { api: 'listen', code: 'EADDRINUSE', because: expect.stringContaining(`127.0.0.1:${port}`) },
    })
    expect(hub.slot?.active?.version).toBe('1')
  })

  test('a swap loses no reading and repeats none', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await hub.ended(hub.direct(hub.publishRelease('2')))
    await hub.until(() => hub.windows.filter(({ version }) => version === '2').length > 3)
    expect(hub.audit()).toEqual(seamless)
    expect(hub.slot?.lastKnownGood?.version).toBe('1')
    expect(hub.duplicates).toBe(0)
  })

  test.each([
    ['wrong answers', { test: 'wrong' }, 'selftest_accuracy'],
    ['a load that fails', { load: 'fail' }, 'selftest_load'],
    ['a crash while it loads', { load: 'crash' }, 'selftest_crash'],
    ['a segmentation fault in the self-test', { test: 'crash' }, 'selftest_crash'],
    ['an endless loop in the self-test', { test: 'hang' }, 'selftest_timeout'],
    ['more memory than the cage allows', { load: 'eat' }, 'selftest_memory'],
  ])('a candidate with %s never takes over', async (_name, behaviour, code) => {
    await started({ runner: { selfTestMsMax: 1_500, loadMsMax: 5_000, memoryBytesMax: 200 * 2 ** 20 } })
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await hub.ended(hub.direct(hub.publishRelease('2', { behaviour })))
    expect(hub.slot).toMatchObject({ phase: 'refused', code })
    expect(hub.slot?.active?.version).toBe('1')
    expect(hub.reports.at(-1)?.quarantine).toHaveLength(1)
    const seen = hub.windows.length
    await hub.until(() => hub.windows.length > seen + 2)
    expect(hub.audit()).toEqual(seamless)
  })

  test.each([
    [2, 3, { phase: 'committed', code: 'ok', active: { version: '2' } }, 0],
    [9, 3, { phase: 'refused', code: 'selftest_crash', active: { version: '1' } }, 1],
  ])(
    'a candidate killed %d times in its self-test gets %d tries: the memory may have run out for others',
    async (times, tries, slot, quarantined) => {
      await started()
      await hub.ended(hub.direct(hub.publishRelease('1')))
      const tally = join(device.stateDir, 'tally')
      await hub.ended(hub.direct(hub.publishRelease('2', { behaviour: { killed: { tally, times } } })))
      expect(hub.slot).toMatchObject(slot)
      expect(statSync(tally).size).toBe(tries)
      expect(hub.reports.at(-1)?.quarantine).toHaveLength(quarantined)
    },
  )

  test('a candidate slower than it promised is refused', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1', { behaviour: { p95Micros: 900 }, p95Micros: 800 })))
    expect(hub.slot).toMatchObject({ phase: 'refused', code: 'selftest_latency' })
  })

  test.each([
    ['crashes', { crashAfterWindows: 1 }, 'probation_crash'],
    ['fails its inferences', { errors: true }, 'probation_error_rate'],
  ])('a release that %s on probation is rolled back', async (_name, behaviour, code) => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await hub.ended(hub.direct(hub.publishRelease('2', { behaviour })))
    expect(hub.slot).toMatchObject({ phase: 'rolled_back', code, active: { version: '1' } })
    const seen = hub.windows.length
    await hub.until(() => hub.windows.length > seen + 2 && hub.windows.at(-1)?.version === '1')
  })

  test('a new length of windows reaches the runner that serves, without a restart', async () => {
    await started()
    const goal = hub.publishRelease('1')
    await hub.ended(hub.direct(goal))
    const length = () => hub.windows.length
    hub.windowMs = 3_600_000
    const version = hub.direct(goal)
    await hub.until(() => (hub.reports.at(-1)?.directiveVersion ?? 0) >= version)
    const { pid } = runnersOf(device)[0]!
    const before = length()
    hub.windowMs = 100
    hub.direct(goal)
    await hub.until(() => length() > before + 3)
    expect(runnersOf(device).map((one) => one.pid)).toEqual([pid])
    expect(hub.audit()).toEqual(seamless)
  })

  test('a locked device keeps what it serves, says why, and installs when it is unlocked', async () => {
    const lockFile = join(mkdtempSync(join(tmpdir(), 'godwit-lock-')), 'busy')
    await started({ install: { lockFile } })
    await hub.ended(hub.direct(hub.publishRelease('1')))
    writeFileSync(lockFile, '')
    const version = hub.direct(hub.publishRelease('2'))
    await hub.until(() => hub.slot?.detail === 'the user of this device has locked it')
    expect(hub.slot).toMatchObject({ phase: 'downloading', active: { version: '1' } })
    const seen = hub.windows.length
    await hub.until(() => hub.windows.length > seen + 2)
    rmSync(dirname(lockFile), { recursive: true })
    // It would look again by itself within half a minute; a new directive makes it look now.
    hub.direct(hub.publishRelease('3'))
    await hub.ended(version + 1)
    expect(hub.slot).toMatchObject({ phase: 'committed', code: 'ok', active: { version: '3' } })
  })

  test('a quarantined release is refused at once, and tried again when forced', async () => {
    await started()
    const bad = hub.publishRelease('1', { behaviour: { test: 'wrong' } })
    await hub.ended(hub.direct(bad))
    await hub.ended(hub.direct(bad))
    expect(hub.slot?.code).toBe('quarantined')
    await hub.ended(hub.direct({ ...bad, force: true }))
    expect(hub.slot?.code).toBe('selftest_accuracy')
  })

  test('going back to an older release is a deployment like any other', async () => {
    await started()
    const first = hub.publishRelease('1')
    await hub.ended(hub.direct(first))
    await hub.ended(hub.direct(hub.publishRelease('2')))
    await hub.ended(hub.direct(first))
    expect(hub.slot).toMatchObject({
      phase: 'committed',
      active: { version: '1' },
      lastKnownGood: { version: '2' },
    })
  })

  test('a newer directive supersedes a download, and the half of it is tidied away', async () => {
    await started({ download: { via: 'mqtt' } })
    const large = hub.publishRelease('1', { paddingBytes: 1_000_000 })
    hub.tamper = (_blob, index, bytes) => (index > 3 ? undefined : bytes)
    hub.direct(large)
    await hub.until(() => hub.blockRequests.some(({ blocks }) => blocks.length > 4))
    await hub.ended(hub.direct(hub.publishRelease('2')))
    expect(hub.slot).toMatchObject({ phase: 'committed', active: { version: '2' } })
    expect(readdirSync(join(device.stateDir, 'blobs')).filter((name) => name.endsWith('.part'))).toEqual([])
  })

  test('called back in the middle of an update to what it serves, a device stays with it and proves nothing again', async () => {
    await started({ download: { via: 'mqtt' } })
    const first = hub.publishRelease('1')
    await hub.ended(hub.direct(first))
    const pids = runnersOf(device).map(({ pid }) => pid)
    hub.tamper = (_blob, index, bytes) => (index > 3 ? undefined : bytes)
    hub.direct(hub.publishRelease('2', { paddingBytes: 1_000_000 }))
    await hub.until(() => hub.blockRequests.some(({ blocks }) => blocks.length > 4))
    await hub.ended(hub.direct(first))
    expect(hub.slot).toMatchObject({ phase: 'committed', code: 'ok', active: { version: '1' } })
    expect(runnersOf(device).map(({ pid }) => pid)).toEqual(pids)
    expect(readdirSync(join(device.stateDir, 'blobs')).filter((name) => name.endsWith('.part'))).toEqual([])
    expect(hub.events.filter(({ kind }) => kind === 'deployment_failed')).toEqual([])
  })

  test('a device that cannot run the release says why', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1', { arch: ['s390x'] })))
    expect(hub.slot).toMatchObject({ phase: 'refused', code: 'unsupported_arch' })
  })

  test('a goal for a slot that is not there is answered', async () => {
    await started()
    hub.direct(hub.publishRelease('1'), { slot: 'attic' })
    await hub.until(() => hub.reports.at(-1)?.slots['attic'] !== undefined)
    expect(hub.reports.at(-1)?.slots['attic']).toMatchObject({ phase: 'refused', code: 'malformed' })
  })
})

describe('downloads', () => {
  test('blocks over MQTT that do not come are asked for again', async () => {
    await started({ download: { via: 'mqtt' } })
    const lost = new Set<string>()
    hub.tamper = (blob, index, bytes) => {
      const name = `${blob}/${index}`
      if (index % 2 === 0 || lost.has(name)) return bytes
      lost.add(name)
      return undefined
    }
    await hub.ended(hub.direct(hub.publishRelease('1', { paddingBytes: 400_000 })))
    expect(hub.slot).toMatchObject({ phase: 'committed' })
    expect(lost.size).toBe(3)
    expect(hub.httpRequests.filter((url) => url.startsWith('/blobs'))).toEqual([])
  })

  test('stopped in the middle, a download goes on where it was', async () => {
    await started({ download: { via: 'mqtt' } })
    hub.tamper = (_blob, index, bytes) => (index >= 16 ? undefined : bytes)
    const version = hub.direct(hub.publishRelease('1', { paddingBytes: 2_000_000 }))
    // Asked again for what does not come: by then it has kept what did.
    await hub.until(() => hub.blockRequests.some(({ blocks, again }) => again && blocks[0]!.index >= 16))
    await device.stop()
    hub.blockRequests.length = 0
    hub.tamper = (_blob, _index, bytes) => bytes
    await device.start()
    await hub.ended(version)
    expect(hub.slot).toMatchObject({ phase: 'committed' })
    const asked = hub.blockRequests
      .filter(({ blocks }) => blocks.length > 1)
      .flatMap(({ blocks }) => blocks.map((b) => b.index))
    expect(Math.min(...asked)).toBe(16)
  })

  test('without HTTP, auto takes MQTT', async () => {
    hub.offersHttp = false
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    expect(hub.slot?.phase).toBe('committed')
    expect(hub.blockRequests.length).toBeGreaterThan(0)
  })
})

describe('trust', () => {
  test('a release that no publisher listed is refused', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1', { listed: false })))
    expect(hub.slot).toMatchObject({ phase: 'refused', code: 'not_listed' })
  })

  test('a directive for another device changes nothing and raises an alarm', async () => {
    await started()
    hub.direct(hub.publishRelease('1'), { deviceId: 'd2' })
    await hub.until(() => hub.events.some(({ kind }) => kind === 'directive_refused'))
    expect(hub.events.find(({ kind }) => kind === 'directive_refused')?.detail['code']).toBe('wrong_device')
    expect(hub.slot?.phase).toBe('idle')
    expect(deviceId).toBe('d1')
  })

  test('an old directive is refused after a newer one', async () => {
    await started()
    const first = hub.publishRelease('1')
    hub.direct(first)
    await hub.ended(hub.direct(hub.publishRelease('2')))
    hub.direct(first, { version: 1 })
    await hub.until(() => hub.events.some(({ kind }) => kind === 'directive_refused'))
    expect(hub.events.find(({ kind }) => kind === 'directive_refused')?.detail['code']).toBe(
      'rollback_refused',
    )
    expect(hub.slot?.active?.version).toBe('2')
  })
})

describe('outages and restarts', () => {
  test('a hub that begins anew behind a broker that stayed hears of its devices spread out, not in step', async () => {
    await started()
    await hub.until(() => hub.births.length === 1 && hub.reports.length > 0)
    // Hours, cut to ten minutes: this device's turn does not come while the test lasts.
    hub.beginAnew('second', 86_400_000)
    hub.beginAnew('third', 0)
    await hub.until(() => hub.births.length > 1)
    await hub.ended(hub.direct(hub.publishRelease('1')))
    expect(hub.births).toHaveLength(2)
  })

  test('what was measured without a link arrives afterwards, once', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    const before = hub.windows.length
    await hub.cut()
    await new Promise((resolve) => setTimeout(resolve, 800))
    await hub.reconnect()
    await hub.until(() => hub.windows.length > before + 6)
    expect(hub.audit()).toEqual(seamless)
    expect(hub.births.length).toBeGreaterThan(1)
    expect(hub.births.at(-1)!.connection).toBeGreaterThan(hub.births[0]!.connection)
  })

  test('a restart serves the same release from the same reading on', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await device.stop()
    expect(hub.states.at(-1)?.status).toBe('offline')
    const before = hub.windows.length
    await device.start()
    await hub.until(() => hub.windows.length > before + 3)
    expect(hub.audit()).toEqual(seamless)
    expect(hub.duplicates).toBe(0)
  })

  test('a damaged database is put aside, and the device serves what its pointer file names', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    await device.stop()
    const path = join(device.stateDir, 'agent.db')
    writeFileSync(path, Buffer.alloc(readFileSync(path).length, 0x5a))
    const before = hub.reports.length
    await device.start()
    await hub.until(() => hub.reports.length > before && hub.slot?.active?.version === '1')
    expect(readdirSync(device.stateDir).some((name) => name.startsWith('agent.db.damaged-'))).toBe(true)
    await hub.until(() => hub.events.some(({ kind }) => kind === 'state_rebuilt'))
  })

  test('an active release that no longer loads gives way to the last known good', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    const second = hub.publishRelease('2')
    await hub.ended(hub.direct(second))
    // Refused, and answered for: what happens to the second release later is not its matter.
    const third = hub.publishRelease('3', { behaviour: { test: 'wrong' } })
    await hub.ended(hub.direct(third))
    await device.stop()
    const model = join(device.stateDir, 'releases', second.releaseDigest, 'bundle', 'model.json')
    expect(existsSync(model)).toBe(true)
    writeFileSync(`${model}.new`, '{}')
    const { renameSync } = await import('node:fs')
    renameSync(`${model}.new`, model)
    await device.start()
    await hub.until(() => hub.slot?.phase === 'rolled_back')
    expect(hub.slot).toMatchObject({ code: 'integrity', active: { version: '1' } })
    expect(hub.slot?.target).toBeUndefined()
    await hub.until(() => hub.events.filter(({ kind }) => kind === 'deployment_failed').length === 2)
    const blamed = hub.events.filter(({ releaseDigest }) => releaseDigest === third.releaseDigest)
    expect(blamed.map(({ detail }) => detail['code'])).toEqual(['selftest_accuracy'])
    const fallen = hub.events.filter(({ releaseDigest }) => releaseDigest === second.releaseDigest)
    expect(fallen.map(({ detail }) => detail['code'])).toContain('integrity')
  })

  test('without an ack nothing is forgotten', async () => {
    hub.answersAcks = false
    await started()
    await hub.ended(hub.direct({ ...hub.publishRelease('1'), probation: quickProbation }))
    const first = hub.records.window.size
    hub.answersAcks = true
    await hub.cut()
    await hub.reconnect()
    await hub.until(() => hub.records.window.size > first)
    expect(hub.audit()).toEqual(seamless)
  })

  test('a message that makes the broker hang up is left out, and the rest gets through', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    hub.refusesPublish = (topic) => topic.endsWith('/t/window')
    await hub.until(() => hub.events.some(({ kind }) => kind === 'publish_refused'))
    expect(hub.events.find(({ kind }) => kind === 'publish_refused')?.detail['message']).toMatch(
      /^telemetry\/window\//,
    )
    // The broker's retained messages have come by then, and cannot overtake what is published next.
    const reports = hub.reports.length
    await hub.until(() => hub.reports.length > reports)
    // Nothing else suffers: the next release is deployed over the same link.
    await hub.ended(hub.direct({ ...hub.publishRelease('2'), probation: quickProbation }))
    expect(hub.slot).toMatchObject({ phase: 'committed', active: { version: '2' } })
  })

  test('a link that flaps holds nothing back once it is up again', async () => {
    await started()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    hub.swallowsPublish = (topic) => topic.endsWith('/t/window')
    hub.connectionMsMax = 300
    await hub.cut()
    await hub.reconnect()
    const flapping = hub.states.length
    await hub.until(() => hub.states.length > flapping + 14)
    hub.swallowsPublish = () => false
    hub.connectionMsMax = Number.POSITIVE_INFINITY
    const before = hub.windows.length
    await hub.until(() => hub.windows.length > before + 20)
    expect(hub.audit()).toEqual(seamless)
    expect(hub.events.filter(({ kind }) => kind === 'publish_refused')).toEqual([])
  })
})
