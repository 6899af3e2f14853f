import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seamless } from '../../support/sequence-audit.ts'
import { now } from '../../support/tuf-repository.ts'
import { FakeHub } from './support/fake-hub.ts'

const script = join(dirname(fileURLToPath(import.meta.url)), 'support', 'agent-process.ts')

let hub: FakeHub
let stateDir: string
let child: ChildProcess | undefined

beforeEach(async () => {
  hub = await FakeHub.start()
  stateDir = mkdtempSync(join(tmpdir(), 'godwit-cut-'))
})

afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) {
    const gone = new Promise((resolve) => child!.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }
  await hub.stop()
  rmSync(stateDir, { recursive: true, force: true })
})

/** Resolves with the signal that ended it. */
function run(place = ''): Promise<string | null> {
  child = spawn(process.execPath, [script, stateDir, hub.joinToken, String(now), place], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return new Promise((resolve) => child!.once('exit', (_code, signal) => resolve(signal)))
}

describe('a power cut in the middle of an update', () => {
  test.each([
    'assigned',
    'checking',
    'downloading',
    'verified',
    'staged',
    'self_testing',
    'activating',
    'swap',
    'probation',
  ])('killed in %s: finishes the update, serves on, loses no reading', async (place) => {
    const first = hub.direct(hub.publishRelease('1'))
    const begun = run()
    await hub.ended(first)
    child!.kill('SIGKILL')
    await begun
    const second = hub.direct(hub.publishRelease('2'))
    expect(await run(place)).toBe('SIGKILL')
    void run()
    await hub.ended(second)
    expect(hub.slot).toMatchObject({
      phase: 'committed',
      code: 'ok',
      active: { version: '2' },
      lastKnownGood: { version: '1' },
    })
    const seen = hub.windows.length
    await hub.until(() => hub.windows.length > seen + 2)
    expect(hub.audit()).toEqual(seamless)
  })

  test.each(['probation', 'rolling_back'])(
    'killed in %s of a bad release: gives the old one back',
    async (place) => {
      const first = hub.direct(hub.publishRelease('1'))
      const begun = run()
      await hub.ended(first)
      child!.kill('SIGKILL')
      await begun
      const second = hub.direct(hub.publishRelease('2', { behaviour: { errors: true } }))
      expect(await run(place)).toBe('SIGKILL')
      void run()
      await hub.ended(second)
      expect(hub.slot).toMatchObject({
        phase: 'rolled_back',
        code: 'probation_error_rate',
        active: { version: '1' },
      })
      await hub.until(() => hub.windows.at(-1)?.version === '1')
      expect(hub.audit()).toEqual(seamless)
    },
  )
})
