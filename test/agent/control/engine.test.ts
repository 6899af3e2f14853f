import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { getPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Cage } from '@godwit/agent/control/cage'
import { engineOf } from '@godwit/agent/control/engine-part'
import { Hearing } from '@godwit/agent/control/hearing'
import { silentLog } from '@godwit/agent/control/log'
import { pathsIn } from '@godwit/agent/control/paths'
import { RunnerLedger } from '@godwit/agent/control/runner-ledger'
import type { Runtime } from '@godwit/agent/runner/session/session'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../runner/bundle-on-disk.ts'
import { fastLimits } from '../runner/served-slot.ts'

const realRunner = createRequire(import.meta.url).resolve('@godwit/agent/runner/main')
const oldBoard = fileURLToPath(new URL('./support/old-board-runner.mjs', import.meta.url))
const isLinux = process.platform === 'linux'

function engineWith(runnerScript: string, setting: 'auto' | 'native' | 'wasm' = 'auto') {
  const paths = pathsIn(temporaryFolder())
  const told: { kind: string; severity: string; detail: Record<string, string> }[] = []
  const runtimes: Runtime[] = []
  const memory: { text?: string } = {}
  const engine = engineOf({
    runner: { ...fastLimits, engine: setting },
    runnerScript,
    agentVersion: '1',
    log: silentLog,
    ledger: new RunnerLedger(paths, runnerScript, silentLog),
    recall: () => memory.text,
    remember: (text) => {
      memory.text = text
    },
    onRuntime: (runtime) => runtimes.push(runtime),
    tell: (kind, severity, detail) => told.push({ kind, severity, detail }),
  })
  return { engine, told, runtimes, memory }
}

describe('the engine of a board', () => {
  test('is the native one where that runs a model, and is not tried again at the next start', async () => {
    const { engine, told, runtimes, memory } = engineWith(realRunner)
    expect(await engine.current()).toBe('native')
    expect(runtimes).toMatchObject([{ name: 'onnxruntime-node', version: '1.27.0' }])
    expect(told).toEqual([])
    const next = engineWith('/nonexistent/runner.js')
    next.memory.text = memory.text!
    expect(await next.engine.current()).toBe('native')
    expect(next.runtimes).toEqual([])
  })

  test('is WebAssembly where the native one dies of an illegal instruction, and an event says so', async () => {
    const { engine, told, runtimes, memory } = engineWith(oldBoard)
    expect(await engine.current()).toBe('wasm')
    expect(runtimes).toMatchObject([{ name: 'onnxruntime-web' }])
    expect(told).toMatchObject([
      {
        kind: 'engine_fallback',
        severity: 'warning',
        detail: { engine: 'wasm', because: expect.stringContaining('SIGILL') },
      },
    ])
    // The board may get another runtime: asked again at every start.
    expect(memory.text).toBeUndefined()
  })

  test('is doubted when a runner does not come up, whatever was known', async () => {
    const { engine, memory } = engineWith(oldBoard)
    const known = engineWith(realRunner)
    await known.engine.current()
    memory.text = known.memory.text!
    expect(await engine.current()).toBe('native')
    await engine.doubt()
    expect(await engine.current()).toBe('wasm')
  })

  test('is what the configuration says, and an alarm where that does not run', async () => {
    expect(await engineWith(realRunner, 'wasm').engine.current()).toBe('wasm')
    const { engine, told } = engineWith(oldBoard, 'native')
    expect(await engine.current()).toBe('native')
    expect(told).toMatchObject([{ kind: 'engine_missing', severity: 'alarm' }])
  })
})

describe('a runner process', () => {
  test.skipIf(!isLinux)('stands behind control for the CPU, and before it when memory runs out', async () => {
    const limits = { ...fastLimits, nice: 7, cpus: '0' }
    const paths = pathsIn(temporaryFolder())
    const ledger = new RunnerLedger(paths, realRunner, silentLog)
    const cage = await Cage.start({ script: realRunner, engine: 'native', limits, log: silentLog, ledger })
    const proc = (file: string) => readFileSync(`/proc/${cage.pid}/${file}`, 'utf8')
    expect(getPriority(cage.pid)).toBe(7)
    expect(proc('oom_score_adj').trim()).toBe('800')
    expect(proc('status')).toMatch(/^Cpus_allowed_list:\s+0$/m)
    // taskset has become it: the next control would know it for a runner of ours.
    expect(proc('cmdline')).toContain(realRunner)
    expect(JSON.parse(readFileSync(paths.runners, 'utf8')).runners).toMatchObject([{ pid: cage.pid }])
    await cage.stop()
  })

  test('of what it says without end, so much is heard in ten seconds, and the rest is counted', () => {
    const hearing = new Hearing()
    const kilobyte = Buffer.alloc(1_000, 'x')
    const heard = Array.from({ length: 10 }, () => hearing.take(kilobyte, 5)?.text.length ?? 0)
    expect(heard).toEqual([1_000, 1_000, 1_000, 1_000, 0, 0, 0, 0, 0, 0])
    expect(hearing.take(kilobyte, 10_005)).toEqual({ text: 'x'.repeat(1_000), leftOut: 6_000 })
    expect(hearing.take(kilobyte, 10_006)).toMatchObject({ leftOut: 0 })
  })
})
