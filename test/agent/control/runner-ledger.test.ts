import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { silentLog } from '@godwit/agent/control/log'
import { pathsIn } from '@godwit/agent/control/paths'
import { RunnerLedger } from '@godwit/agent/control/runner-ledger'
import { identityOf, isAlive, type ProcessIdentity } from '@godwit/agent/control/state/process-identity'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { now } from '../../support/tuf-repository.ts'
import { FakeHub } from './support/fake-hub.ts'

let stateDir: string
const children: ChildProcess[] = []

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'godwit-ledger-'))
})

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }
  rmSync(stateDir, { recursive: true, force: true })
})

function started(...command: string[]): ChildProcess {
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'inherit', 'inherit'] })
  children.push(child)
  return child
}

function ledger(script: string): RunnerLedger {
  return new RunnerLedger(pathsIn(stateDir), script, silentLog)
}

function recorded(): ProcessIdentity[] {
  return JSON.parse(readFileSync(pathsIn(stateDir).runners, 'utf8')).runners
}

const idle = 'setInterval(() => {}, 1000)'
const exitOf = (child: ChildProcess) =>
  new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))

describe('runners that outlived their control', () => {
  test('are killed by the next one', async () => {
    const child = started('-e', idle, 'runner-script')
    ledger('runner-script').started(child.pid!)
    const gone = exitOf(child)
    expect(ledger('runner-script').killLeftovers()).toEqual([child.pid])
    expect(await gone).toBe('SIGKILL')
    expect(recorded()).toEqual([])
  })

  test('are left alone when number, start time or command are those of somebody else', () => {
    const child = started('-e', idle, 'runner-script')
    const identity = identityOf(child.pid!)
    ledger('runner-script').started(child.pid!)
    expect(ledger('another-script').killLeftovers()).toEqual([])
    for (const other of [{ started: '1' }, { boot: 'another' }, { pid: 'x' }, { pid: 1 }]) {
      writeFileSync(
        pathsIn(stateDir).runners,
        JSON.stringify({ runners: [{ ...identity, ...other }, null, 5] }),
      )
      expect(ledger('runner-script').killLeftovers()).toEqual([])
    }
    for (const text of ['', 'half', '[]', '{"runners":{}}']) {
      writeFileSync(pathsIn(stateDir).runners, text)
      expect(ledger('runner-script').killLeftovers()).toEqual([])
    }
    expect(isAlive(identity)).toBe(true)
  })

  test('that end in good order are struck off', () => {
    const book = ledger('runner-script')
    book.started(process.pid)
    expect(recorded()).toEqual([identityOf(process.pid)])
    book.ended(process.pid)
    expect(recorded()).toEqual([])
  })

  test('a model that loops for ever while control is killed is ended at the next start, and told', async () => {
    const hub = await FakeHub.start()
    const script = join(dirname(fileURLToPath(import.meta.url)), 'support', 'agent-process.ts')
    const run = () => started(script, stateDir, hub.joinToken, String(now))
    try {
      const first = run()
      const version = hub.direct(hub.publishRelease('1', { behaviour: { spinAfterWindows: 20 } }))
      await hub.ended(version)
      await hub.until(() => hub.windows.length >= 20)
      const [runner] = recorded()
      first.kill('SIGKILL')
      await exitOf(first)
      expect(isAlive(runner!)).toBe(true)
      run()
      await hub.until(() => hub.events.some(({ kind }) => kind === 'runner_left_over'))
      expect(hub.events.find(({ kind }) => kind === 'runner_left_over')?.detail['pid']).toBe(runner!.pid)
      expect(isAlive(runner!)).toBe(false)
    } finally {
      await hub.stop()
    }
  })
})
