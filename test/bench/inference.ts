import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@godwit/agent/runner/clock'
import { Serving } from '@godwit/agent/runner/serve'
import { openNative } from '@godwit/agent/runner/session/native'
import type { Session } from '@godwit/agent/runner/session/session'
import { openWasm } from '@godwit/agent/runner/session/wasm'
import type { Reading, Source } from '@godwit/agent/runner/sources/source'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import { cpuAt10Hz } from './cpu-at-10hz.ts'
import type { Figure } from './main.ts'

const fields = ['temperature', 'humidity']
const window = 4
const inputs = [{ name: 'readings', shape: [1, window, fields.length] }]
const outputs = [{ name: 'score', shape: [1] }]

const pipeline: Pipeline = {
  format: 'godwit-pipeline/1',
  fields,
  window,
  input: 'readings',
  outputs: ['score'],
  decision: { output: 'score', above: 1e9 },
  monitor: [
    { name: 'score', of: { output: 'score' } },
    { name: 'step', of: { incrementOf: 'temperature' } },
  ],
}

export type InferenceFigures = {
  /** Cost of a reading through the runner over that of a bare run, for a model of about 1 ms. */
  overheadRatio1ms: number
  /** What the runner adds to a model that takes next to no time, microseconds. */
  extraMicrosTiny: number
  /** Medians that the two come from, microseconds. */
  micros: { bare1ms: number; served1ms: number; bareTiny: number; servedTiny: number }
  /** The same model of about 1 ms in WebAssembly, over native. */
  wasmRatio1ms: number
  /** CPU time of a process per inference, microseconds. */
  cpu10hz: { served: number; bare: number }
}

export async function benchInference(): Promise<Record<string, Figure>> {
  const { overheadRatio1ms, extraMicrosTiny, micros, wasmRatio1ms, cpu10hz } = await measureInference()
  return {
    'inference.cpuRatio.10hz': { value: cpu10hz.served / cpu10hz.bare, unit: 'x', baseline: 1 },
    'inference.cpuMicros.10hz': { value: cpu10hz.served, unit: 'µs', baseline: cpu10hz.bare },
    'inference.wasmRatio.1ms': {
      value: wasmRatio1ms,
      unit: 'x',
      baseline: 'wasm over native, one thread each',
    },
    'inference.overheadRatio.1ms': { value: overheadRatio1ms, unit: 'x', baseline: 1.05 },
    'inference.extraMicros.tiny': { value: extraMicrosTiny, unit: 'µs', baseline: micros.bareTiny },
  }
}

/** The agent's whole path (source, ring, run, decision, drift counters, latency, windows) against `session.run()` alone. */
export async function measureInference(): Promise<InferenceFigures> {
  process.env['ORT_DISABLE_TELEMETRY'] = '1'
  const folder = mkdtempSync(join(tmpdir(), 'godwit-bench-'))
  try {
    const tiny = await compare(await opened(folder, 'tiny', stack(0, 8)), 200, 400)
    const model = await modelOfMicros(folder, 1_000)
    const slow = await compare(model, 8, 400)
    const path = join(folder, 'slow.onnx')
    const wasm = await opened(folder, 'slow', undefined, openWasm)
    const wasmRatio1ms = (await microsOf(wasm)) / (await microsOf(await opened(folder, 'slow')))
    return {
      wasmRatio1ms,
      cpu10hz: await cpuAt10Hz(folder, readFileSync(path), { pipeline, inputs, outputs }),
      overheadRatio1ms: slow.ratio,
      extraMicrosTiny: tiny.extra,
      micros: { bare1ms: slow.bare, served1ms: slow.served, bareTiny: tiny.bare, servedTiny: tiny.served },
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

type Compared = { bare: number; served: number; ratio: number; extra: number }

/** Short rounds of both take turns, so that whatever else the machine does meets both alike. Medians over pairs. */
async function compare(session: Session, perRound: number, rounds: number): Promise<Compared> {
  const data = Float32Array.from({ length: window * fields.length }, (_, i) => i / 10)
  const feeds = { readings: session.tensor('float32', [1, window, fields.length], data) }
  const gate = new GatedSource()
  const serving = servingOver(session, gate)
  const running = serving.run()
  const bare: number[] = []
  const served: number[] = []
  const bareRound = async () => {
    const startMs = performance.now()
    for (let i = 0; i < perRound; i++) await session.run(feeds, pipeline.outputs)
    bare.push(((performance.now() - startMs) * 1000) / perRound)
  }
  const servedRound = async () => {
    const startMs = performance.now()
    await gate.pass(perRound)
    served.push(((performance.now() - startMs) * 1000) / perRound)
  }
  for (let round = -3; round < rounds; round++) {
    // The first of two has the colder cache: each is first as often as the other.
    const order = round % 2 === 0 ? [bareRound, servedRound] : [servedRound, bareRound]
    for (const run of order) await run()
    if (round === -1) bare.length = served.length = 0
  }
  const wantedInferences = (rounds + 3) * perRound
  await serving.finish()
  await running
  if (serving.inferences < wantedInferences - window)
    throw new Error(`served ${serving.inferences} of ${wantedInferences}`)
  await session.release()
  const ratio = median(served.map((micros, i) => micros / bare[i]!))
  const extra = median(served.map((micros, i) => micros - bare[i]!))
  return { bare: median(bare), served: median(served), ratio, extra }
}

/** Hands out so many readings, then keeps still. Two alternating readings: nothing is allocated for the bench's sake. */
class GatedSource implements Source {
  readonly #readings: Reading[] = [0, 1].map((i) => ({
    at: 0,
    position: `0:${i}`,
    values: { temperature: 20 + i, humidity: 40 },
  }))
  #left = 0
  #index = 0
  #opened: (() => void) | undefined
  #passed: (() => void) | undefined

  /** Resolves when the runner asks for the reading behind the last of these. */
  pass(count: number): Promise<void> {
    this.#left = count
    const passed = new Promise<void>((resolve) => {
      this.#passed = resolve
    })
    this.#opened?.()
    return passed
  }

  async next(signal: AbortSignal) {
    if (this.#left === 0) await this.#wait(signal)
    this.#left--
    const index = this.#index++
    return { reading: this.#readings[index % 2]!, cursor: { pass: 0, index } }
  }

  async close(): Promise<void> {}

  #wait(signal: AbortSignal): Promise<void> {
    this.#passed?.()
    return new Promise((resolve, reject) => {
      this.#opened = resolve
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }
}

function servingOver(session: Session, source: Source): Serving {
  const reference = Array.from({ length: 1_600 }, (_, i) => ((i * 7919) % 997) / 100)
  const profile = buildProfile([{ score: reference, step: reference }])
  const serves = { slot: 'main', model: 'bench', version: '1', releaseDigest: 'a'.repeat(64) }
  const serving: Serving = new Serving({
    session,
    pipeline,
    profile,
    serves,
    source,
    clock: systemClock,
    windowMs: 60_000,
    send: (message) => {
      if (message.type === 'window') serving.stored(message.window)
    },
  })
  return serving
}

/** Layers are added until a run takes as long as wanted on this machine. */
async function modelOfMicros(folder: string, micros: number): Promise<Session> {
  const width = 512
  const probe = await opened(folder, 'probe', stack(4, width))
  const perLayer = (await microsOf(probe)) / 4
  await probe.release()
  return opened(folder, 'slow', stack(Math.max(1, Math.round(micros / perLayer)), width))
}

async function microsOf(session: Session): Promise<number> {
  const feeds = { readings: session.tensor('float32', [1, window, fields.length], new Float32Array(8)) }
  const runs: number[] = []
  for (let i = 0; i < 200; i++) {
    const startMs = performance.now()
    await session.run(feeds, pipeline.outputs)
    runs.push((performance.now() - startMs) * 1000)
  }
  return median(runs.slice(50))
}

async function opened(folder: string, name: string, model?: Uint8Array, open = openNative): Promise<Session> {
  const path = join(folder, `${name}.onnx`)
  if (model) writeFileSync(path, model)
  const session = await open(path, ['cpu'], 1)
  if (!session.ok) throw new Error(session.detail)
  return session.value
}

/** A perceptron: flatten, one layer in, so many square layers, mean out. */
function stack(layers: number, width: number): Uint8Array {
  const graph = new OnnxGraph('stack')
  const first = width * window * fields.length
  let last = graph.node('flat', 'Flatten', ['readings'], { axis: 1 })
  last = graph.node('wide', 'MatMul', [
    last,
    graph.floats('w', [window * fields.length, width], weights(first)),
  ])
  for (let i = 0; i < layers; i++) {
    const square = graph.floats(`w${i}`, [width, width], weights(width * width))
    last = graph.node(`r${i}`, 'Relu', [graph.node(`h${i}`, 'MatMul', [last, square])])
  }
  graph.node('score', 'ReduceMean', [last], { axes: [1], keepdims: 0 })
  return graph.encode(inputs, outputs, { modelVersion: 1, docString: '' })
}

/** Small and without a pattern, so that no layer dies and none explodes. */
function weights(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898) / 20)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
