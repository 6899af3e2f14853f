import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { forkRunner } from '@godwit/agent/control/fork-runner'
import { silentLog } from '@godwit/agent/control/log'
import type { FromRunner, ToRunner } from '@godwit/agent/runner/messages'
import { describeFile } from '@godwit/protocol/release/blocks'
import type { Pipeline } from '@godwit/protocol/release/pipeline'

const bareScript = fileURLToPath(new URL('./bare-session.ts', import.meta.url))
const runnerScript = createRequire(import.meta.url).resolve('@godwit/agent/runner/main')
const warmUpMs = 3_000
const measureMs = 40_000

type Io = { pipeline: Pipeline; inputs: Shaped[]; outputs: Shaped[] }
type Shaped = { name: string; shape: number[] }

/**
 * CPU time per inference of the real runner, with its source, windows, drift and pings, and of a process that only runs
 * the session, side by side at ten readings a second. Microseconds, of all threads, start-up left out.
 */
export async function cpuAt10Hz(
  folder: string,
  model: Uint8Array,
  io: Io,
): Promise<{ served: number; bare: number }> {
  const path = join(folder, 'at-10hz.onnx')
  writeFileSync(path, model)
  const [{ name, shape }] = io.inputs as [Shaped]
  const env = { ...process.env, ORT_DISABLE_TELEMETRY: '1' }
  const bare = fork(bareScript, [path, name, ...shape.map(String)], { env })
  // As control starts it: with the flags and the environment that it has in the field.
  const limits = { memoryBytesMax: 2 ** 30, nice: 0 }
  const runner = forkRunner({ script: runnerScript, engine: 'native', limits, log: silentLog })
  runner.stderr?.pipe(process.stderr)
  try {
    await once(bare, 'message')
    await serve(runner, folder, model, io)
    await new Promise((resolve) => setTimeout(resolve, warmUpMs))
    const pings = setInterval(() => runner.send({ type: 'ping', id: 0 } satisfies ToRunner), 2_000)
    const before = [cpuMicros(runner.pid!), cpuMicros(bare.pid!)]
    const startMs = performance.now()
    await new Promise((resolve) => setTimeout(resolve, measureMs))
    const after = [cpuMicros(runner.pid!), cpuMicros(bare.pid!)]
    const count = (performance.now() - startMs) / 100
    clearInterval(pings)
    return { served: (after[0]! - before[0]!) / count, bare: (after[1]! - before[1]!) / count }
  } finally {
    for (const child of [bare, runner]) child.kill('SIGKILL')
  }
}

async function serve(
  runner: ChildProcess,
  folder: string,
  model: Uint8Array,
  { pipeline, inputs, outputs }: Io,
) {
  const files = { 'pipeline.json': pipeline, 'golden.json': goldenOf(inputs, outputs) }
  for (const [name, document] of Object.entries(files))
    writeFileSync(join(folder, name), JSON.stringify(document))
  const readings = Array.from({ length: 1_000 }, (_, i) => `${20 + (i % 7)},${40 + (i % 5)}`)
  writeFileSync(join(folder, 'readings.csv'), `${pipeline.fields.join()}\n${readings.join('\n')}\n`)
  const tensor = ({ name, shape }: Shaped) => ({ name, shape, dtype: 'float32' as const })
  await ask(runner, 'loaded', {
    type: 'load',
    slot: 'main',
    model: 'bench',
    version: '1',
    releaseDigest: 'a'.repeat(64),
    directory: folder,
    variant: { name: 'fp32', file: 'at-10hz.onnx', executionProviders: ['cpu'], precision: 'fp32' },
    modelFile: describeFile(model),
    io: { inputs: inputs.map(tensor), outputs: outputs.map(tensor) },
    golden: 'golden.json',
    pipeline: 'pipeline.json',
    executionProviders: ['cpu'],
    threads: 1,
    proofNonce: 'bench',
  })
  runner.on('message', (message: FromRunner) => {
    if (message.type === 'window') runner.send({ type: 'stored', window: message.window } satisfies ToRunner)
  })
  const path = join(folder, 'readings.csv')
  const source = { kind: 'replay' as const, path, intervalMs: 100, loop: true }
  await ask(runner, 'serving', { type: 'serve', source, windowMs: 10_000 })
}

function ask(runner: ChildProcess, type: FromRunner['type'], order: ToRunner): Promise<void> {
  return new Promise((resolve, reject) => {
    const hear = (message: FromRunner) => {
      if (message.type === 'failed') reject(new Error(message.detail))
      if (message.type !== type) return
      runner.off('message', hear)
      resolve()
    }
    runner.on('message', hear)
    runner.send(order)
  })
}

/** Nobody asks: this runner is not tested, only timed. */
function goldenOf(inputs: readonly Shaped[], outputs: readonly Shaped[]) {
  const zeros = (shape: readonly number[]) => new Array(shape.reduce((a, b) => a * b, 1)).fill(0)
  const tensors = (all: readonly Shaped[]) =>
    Object.fromEntries(all.map(({ name, shape }) => [name, { dtype: 'float32', shape, data: zeros(shape) }]))
  const cases = [{ inputs: tensors(inputs), outputs: tensors(outputs) }]
  return { format: 'godwit-golden/1', atol: 1, rtol: 1, minAgree: 0, cases }
}

/** From the scheduler, in nanoseconds where the kernel tells: its ticks of 10 ms are too coarse here. */
function cpuMicros(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const nanos = tasks.map((task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanos.reduce((sum, value) => sum + value, 0) / 1_000
}
