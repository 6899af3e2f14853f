import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { Journal } from '@godwit/agent/control/deployment/journal'
import { deviceKey } from '@godwit/agent/control/identity'
import { pathsIn } from '@godwit/agent/control/paths'
import { Counters } from '@godwit/agent/control/state/counters'
import { openDatabase } from '@godwit/agent/control/state/database'
import { takeLock } from '@godwit/agent/control/state/lock'
import { readPointer, writePointer } from '@godwit/agent/control/state/pointer'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-state-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const active = (version: string) => ({
  model: 'gauge',
  version,
  releaseDigest: version.repeat(64),
  variant: 'fp32',
  since: 1,
  executionProvider: 'cpu',
  loadedDigest: '0'.repeat(64),
  proof: '0'.repeat(64),
})

describe('the database', () => {
  test('a file that is no database is kept aside and replaced', () => {
    const path = join(directory, 'agent.db')
    writeFileSync(path, 'not a database at all, and long enough to be looked at '.repeat(100))
    const opened = openDatabase(path, 7)
    expect(opened).toMatchObject({ condition: 'rebuilt', movedTo: `${path}.damaged-7` })
    expect(existsSync(`${path}.damaged-7`)).toBe(true)
    opened.database.close()
    const again = openDatabase(path, 8)
    expect(again.condition).toBe('found')
    again.database.close()
  })

  test('a zero-length file, as a power cut leaves it, becomes a new database', () => {
    const path = join(directory, 'agent.db')
    writeFileSync(path, '')
    const { database } = openDatabase(path, 7)
    expect(database.all('SELECT * FROM slot')).toEqual([])
    database.close()
  })

  test('where no file can be made, the state lives in memory and the agent lives on', () => {
    writeFileSync(join(directory, 'file'), '')
    const opened = openDatabase(join(directory, 'file', 'agent.db'), 7)
    expect(opened.condition).toBe('memory')
    expect(new Counters(opened.database, () => 5_000).advance('connection')).toBe(5)
    opened.database.close()
  })

  test('counters grow over restarts, and over a lost database', () => {
    const path = join(directory, 'agent.db')
    const seen: number[] = []
    for (let i = 0; i < 3; i++) {
      const { database } = openDatabase(path, 0)
      const counters = new Counters(database, () => 1_000_000 + i)
      seen.push(counters.advance('connection'), counters.advance('connection'))
      database.close()
    }
    rmSync(path)
    const { database } = openDatabase(path, 0)
    seen.push(new Counters(database, () => 2_000_000).advance('connection'))
    database.close()
    expect(seen).toEqual([1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 2_000])
  })

  test('numbers told from a full disk are not told again after a restart', () => {
    const path = join(directory, 'agent.db')
    const first = openDatabase(path, 0).database
    new Counters(first, () => 1_000_000).advance('report')
    first.close()
    const full = openDatabase(path, 0).database
    const told = new Counters(
      Object.assign(Object.create(full), {
        get: full.get.bind(full),
        run() {
          throw new Error('the disk is full')
        },
      }),
      () => 5_000_000,
    )
    const last = [told.advance('report'), told.advance('report'), told.advance('report')].at(-1)!
    full.close()
    const { database } = openDatabase(path, 0)
    expect(new Counters(database, () => 5_010_000).advance('report')).toBeGreaterThan(last)
    database.close()
  })
})

describe('the pointer file', () => {
  test('puts a database right that knows an older swap', () => {
    const paths = pathsIn(directory)
    const { database } = openDatabase(paths.database, 0)
    const journal = new Journal(database, paths)
    journal.writeReleases('default', { active: active('1') }, journal.read('default').deployment)
    writePointer(paths, 'default', { active: active('2'), lastKnownGood: active('1') })
    expect(journal.repair('default')).toBe(true)
    expect(journal.read('default').active?.version).toBe('2')
    expect(journal.repair('default')).toBe(false)
    database.close()
  })

  test('in the middle of a swap nothing is repaired: the swap is done again', () => {
    const paths = pathsIn(directory)
    const { database } = openDatabase(paths.database, 0)
    const journal = new Journal(database, paths)
    const { deployment } = journal.read('default')
    journal.writeReleases('default', { active: active('1') }, { ...deployment, phase: 'activating' })
    writePointer(paths, 'default', { active: active('2'), lastKnownGood: active('1') })
    expect(journal.repair('default')).toBe(false)
    expect(journal.read('default').active?.version).toBe('1')
    database.close()
  })

  test('a damaged one is as good as none', () => {
    const paths = pathsIn(directory)
    writePointer(paths, 'default', { active: active('1') })
    writeFileSync(paths.pointer('default'), '{"format":"godwit-poi')
    expect(readPointer(paths, 'default')).toBeUndefined()
  })
})

describe('the device', () => {
  test('makes its key once, readable by its owner alone, and refuses to make another over a damaged one', () => {
    const paths = pathsIn(directory)
    const first = deviceKey(paths)
    expect(statSync(paths.deviceKey).mode & 0o777).toBe(0o600)
    expect(deviceKey(paths).keyid).toBe(first.keyid)
    chmodSync(paths.deviceKey, 0o600)
    writeFileSync(paths.deviceKey, '{}')
    expect(() => deviceKey(paths)).toThrow('no godwit-device-key/1 file')
    expect(readdirSync(directory)).toEqual(['device-key.json'])
  })

  test('a lock left behind by another boot or a dead process does not keep it from starting', () => {
    const paths = pathsIn(directory)
    writeFileSync(paths.lock, JSON.stringify({ pid: 1, boot: 'another-boot', started: '5' }))
    takeLock(paths)()
    writeFileSync(paths.lock, 'half writ')
    takeLock(paths)()
    expect(existsSync(paths.lock)).toBe(false)
  })

  test('its time never runs back behind what it has verified', () => {
    let wallMs = 50
    const stored: number[] = []
    const time = new TrustedTime({ wallMs: () => wallMs, monotonicMs: () => 0 }, 1_000, (floor) =>
      stored.push(floor),
    )
    expect(time.nowMs()).toBe(1_000)
    time.raiseFloor(2_000)
    time.raiseFloor(1_500)
    wallMs = 1_999
    expect(time.nowMs()).toBe(2_000)
    time.heardHubTime(10_000_000)
    expect(time.nowMs()).toBe(2_000)
    expect(time.skewMs).toBe(1_999 - 10_000_000)
    expect(time.hubNowMs()).toBe(10_000_000)
    expect(stored).toEqual([2_000])
  })
})
