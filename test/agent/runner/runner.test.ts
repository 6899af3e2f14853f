import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Checkpoint, FromRunner } from '@godwit/agent/runner/messages'
import type { SourceConfig } from '@godwit/agent/runner/sources/source'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import { describe, expect, test } from 'vitest'
import {
  disguise,
  type LoadOrder,
  meanGolden,
  meanModel,
  meanPipeline,
  stage,
  temporaryFolder,
} from './bundle-on-disk.ts'
import { Child } from './child.ts'
import { totalsOf, type WindowMessage } from './serve-fixture.ts'

/** Ten times the only field, from an input of these axes. */
function oneAtATime(axes: (string | number)[]): LoadOrder {
  const io: LoadOrder['io'] = {
    inputs: [{ name: 'x', dtype: 'float32', shape: axes }],
    outputs: [{ name: 'score', dtype: 'float32', shape: ['N'] }],
  }
  const graph = new OnnxGraph('one')
  const scaled = graph.node('scaled', 'Mul', ['x', graph.floats('ten', [1], [10])])
  graph.node('score', 'ReduceMax', [scaled], { axes: axes.slice(1).map((_, i) => i + 1), keepdims: 0 })
  const shape = axes.map(() => 1)
  const golden: typeof meanGolden = {
    ...meanGolden,
    cases: [
      {
        inputs: { x: { dtype: 'float32', shape, data: [2] } },
        outputs: { score: { dtype: 'float32', shape: [1], data: [20] } },
      },
    ],
  }
  const pipeline = { ...meanPipeline, window: 1, decision: { output: 'score', above: 100 } }
  const model = graph.encode(io.inputs, io.outputs, { modelVersion: 1, docString: '' })
  return stage({ model, golden, pipeline, io, hasProfile: false })
}

const badModels = join(dirname(fileURLToPath(import.meta.url)), '../../../../shared/data/bad-models')
const hasBadModels = existsSync(badModels)

describe('self-test of a real model in a real process', () => {
  test('a good model is loaded on what there is, agrees, and proves it', async () => {
    const child = new Child()
    const order = stage()
    const started = await child.hear('started')
    expect(started?.runtime).toMatchObject({ name: 'onnxruntime-node', version: '1.27.0' })
    const loaded = await child.ask(order, 'loaded')
    expect(loaded).toMatchObject({ executionProvider: 'cpu', loadedDigest: order.modelFile.sha256 })
    const tested = await child.ask({ type: 'self-test' }, 'tested')
    const proof = createHash('sha256')
      .update('session-1')
      .update(Buffer.from(order.modelFile.sha256, 'hex'))
      .update(Buffer.from(Float32Array.of(2).buffer))
    expect(tested).toMatchObject({ agreed: 2, total: 2, proof: proof.digest('hex') })
  })

  const refused: [string, Parameters<typeof stage>[0], string, RegExp][] = [
    [
      'an impostor with the same signature and a constant answer',
      { model: meanModel(0) },
      'selftest_accuracy',
      /expected 2, got 0/,
    ],
    ['a model that answers NaN', { model: meanModel(0, 0) }, 'selftest_accuracy', /got NaN/],
    ['a model that answers infinity', { model: meanModel(1, 0) }, 'selftest_accuracy', /got Infinity/],
  ]
  test.each(refused)('refuses %s', async (_, bundle, code, detail) => {
    const child = new Child()
    await child.ask(stage(bundle), 'loaded')
    const answer = await child.ask({ type: 'self-test' }, 'tested')
    expect(answer).toMatchObject({ type: 'failed', code, detail: expect.stringMatching(detail) })
  })

  test('refuses a file that changed after it was verified', async () => {
    const order = stage()
    writeFileSync(join(order.directory, 'model.onnx'), meanModel(2))
    expect(await new Child().ask(order, 'loaded')).toMatchObject({ type: 'failed', code: 'integrity' })
  })

  test('refuses a model whose inputs are not those of its release', async () => {
    const order = stage()
    const io = { ...order.io, inputs: [{ name: 'x', dtype: 'float32' as const, shape: ['N', 4, 1] }] }
    const answer = await new Child().ask({ ...order, io }, 'loaded')
    expect(answer).toMatchObject({
      code: 'io_schema_mismatch',
      detail: expect.stringContaining('x: float32[N, 3, 1]'),
    })
  })

  test('refuses a pipeline that cannot drive the model', async () => {
    const order = stage({ pipeline: { ...meanPipeline, fields: ['t', 'h'] }, hasProfile: false })
    expect(await new Child().ask(order, 'loaded')).toMatchObject({ code: 'io_schema_mismatch' })
  })

  test('drives a model of one reading at a time with and without an axis of readings', async () => {
    for (const axes of [
      ['N', 1],
      ['N', 1, 1],
    ]) {
      const child = new Child()
      await child.ask(oneAtATime(axes), 'loaded')
      expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({ agreed: 1 })
      const path = join(temporaryFolder(), 'three.csv')
      writeFileSync(path, 't\n1\n20\n3\n')
      const source: SourceConfig = { kind: 'replay', path, intervalMs: 0, loop: false }
      await child.ask({ type: 'serve', source, windowMs: 60_000 }, 'serving')
      const window = await child.hear('window')
      expect(window?.record).toMatchObject({ readings: 3, inferences: 3, warmUp: 0, anomalies: 1 })
    }
  })

  test('an axis of readings is needed where there is more than one', async () => {
    const order = oneAtATime(['N', 1])
    writeFileSync(join(order.directory, 'pipeline.json'), JSON.stringify(meanPipeline))
    expect(await new Child().ask(order, 'loaded')).toMatchObject({ code: 'io_schema_mismatch' })
  })

  test('says so when no execution provider of those asked for is here', async () => {
    const answer = await new Child().ask({ ...stage(), executionProviders: ['cuda', 'npu'] }, 'loaded')
    expect(answer).toMatchObject({ code: 'unsupported_ep', detail: expect.stringContaining('cpu') })
  })
})

describe.skipIf(!hasBadModels)('bad models of the collection (skipped without ../shared/data)', () => {
  const disguised = (name: string) => stage(disguise(readFileSync(join(badModels, name))))

  const names = hasBadModels ? readdirSync(badModels).filter((name) => name.endsWith('.onnx')) : []
  /** These load: only a hash, the release's signature or their answers give them away. */
  const loadable = /^(07|20|21|25|29|31|32|33)_/

  test.each(names)('%s does not get through, and the runner says why', async (name) => {
    const order = stage({ model: readFileSync(join(badModels, name)) })
    const answer = await new Child().ask(order, 'loaded')
    expect(answer).toMatchObject({
      type: 'failed',
      code: loadable.test(name) ? 'io_schema_mismatch' : 'selftest_load',
    })
  })

  test('an allocation of 800 GB fails its self-test', async () => {
    const child = new Child()
    await child.ask(disguised('20_alloc_bomb_800GB.onnx'), 'loaded')
    expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({
      code: 'selftest_crash',
    })
  })

  test('a model that answers infinity fails its self-test', async () => {
    const child = new Child()
    await child.ask(disguised('25_nan_and_inf_output.onnx'), 'loaded')
    expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({
      code: 'selftest_accuracy',
    })
  })

  test('a model that loops for ever holds its own process only: the parent goes on and kills it', async () => {
    const child = new Child()
    expect(await child.ask(disguised('21_infinite_loop.onnx'), 'loaded')).toMatchObject({ type: 'loaded' })
    child.send({ type: 'self-test' })
    // Its silence has no event to wait for; a machine too slow for this long only makes the test easier.
    await new Promise((resolve) => setTimeout(resolve, 300))
    child.process.kill('SIGTERM')
    expect(child.heard.some(({ type }) => type === 'tested' || type === 'failed')).toBe(false)
    child.process.kill('SIGKILL')
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  })
})

describe('a process that serves', () => {
  const readings = 240

  test('killed without warning, windows add up to those of an undisturbed run', async () => {
    const source = recording()
    const undisturbed = await serveToEnd(source)
    const kept: WindowMessage[] = []
    let checkpoint: Checkpoint | undefined
    for (let kill = 0; kill < 3; kill++) {
      const child = await serving(source, checkpoint)
      const window = await windowWithReadings(child)
      child.process.kill('SIGKILL')
      await child.exited
      // Stored up to this one; whatever came behind it is forgotten, as after a crash of control.
      const stored = windowsOf(child).filter((message) => message.window <= window.window)
      kept.push(...stored)
      checkpoint = stored.at(-1)!.checkpoint
    }
    kept.push(...(await serveToEnd(source, checkpoint)))
    expect(totalsOf(kept)).toEqual(totalsOf(undisturbed))
    expect(totalsOf(kept)).toMatchObject({ readings, errors: 1 })
  })

  test('hands over in the middle: the successor reads on, warm, and nothing is read twice', async () => {
    const source = recording()
    const first = await serving(source)
    await windowWithReadings(first)
    const answer = await first.ask({ type: 'hand-over' }, 'handed-over')
    const { checkpoint } = answer as Extract<FromRunner, { type: 'handed-over' }>
    expect(windowsOf(first).at(-1)?.checkpoint).toEqual(checkpoint)
    const after = totalsOf(await serveToEnd(source, checkpoint, 'b'.repeat(64)))
    const before = totalsOf(windowsOf(first))
    expect(before.readings + after.readings).toBe(readings)
    expect(after.readings).toBeGreaterThan(0)
    expect(before.anomalies + after.anomalies).toBe(totalsOf(await serveToEnd(source)).anomalies)
    expect([before.warmUp, after.warmUp]).toEqual([2, 0])
  })

  test('is deaf to SIGTERM, and stops when told: last window first, exit code 0', async () => {
    const child = await serving(recording())
    await windowWithReadings(child)
    child.process.kill('SIGTERM')
    expect(await child.ask({ type: 'ping', id: 7 }, 'pong')).toMatchObject({ id: 7 })
    const sent = windowsOf(child).length
    child.send({ type: 'stop' })
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(windowsOf(child).length).toBeGreaterThan(sent)
  })

  test('goes when control goes', async () => {
    const child = await serving(recording())
    child.process.disconnect()
    expect(await child.exited).toEqual({ code: 0, signal: null })
  })

  test('says what is wrong with its source, and stays', async () => {
    const child = await loaded()
    const source: SourceConfig = { kind: 'replay', path: '/nonexistent/motes.csv', intervalMs: 1, loop: true }
    const said = await child.ask({ type: 'serve', source, windowMs: 10 }, 'source-unavailable')
    expect(said).toMatchObject({
      type: 'source-unavailable',
      detail: expect.stringContaining('/nonexistent/motes.csv: ENOENT'),
    })
    // And it stays, to be there when the source is.
    expect(child.process.exitCode).toBeNull()
  })

  test('a source that fails while it is read does not end it either', async () => {
    const child = await loaded()
    // Opens like a file, and cannot be read like one.
    const source: SourceConfig = { kind: 'jsonl', path: temporaryFolder() }
    const said = await child.ask({ type: 'serve', source, windowMs: 10 }, 'source-unavailable')
    expect(said).toMatchObject({ type: 'source-unavailable', detail: expect.stringContaining('EISDIR') })
    expect(await child.ask({ type: 'ping', id: 8 }, 'pong')).toMatchObject({ id: 8 })
  })

  function recording(): SourceConfig {
    const path = join(temporaryFolder(), 'mote.csv')
    const rows = Array.from({ length: readings }, (_, i) => `${i},${i === 100 ? '' : (i * 13) % 23},x`)
    writeFileSync(path, ['time,t,label', ...rows, ''].join('\n'))
    return { kind: 'replay', path, intervalMs: 1, loop: false }
  }

  async function loaded(releaseDigest = 'a'.repeat(64)): Promise<Child> {
    const child = new Child()
    await child.ask({ ...stage(), releaseDigest }, 'loaded')
    return child
  }

  /** Stores what comes, so that no pause is in the way. */
  async function serving(
    source: SourceConfig,
    checkpoint?: Checkpoint,
    releaseDigest?: string,
  ): Promise<Child> {
    const child = await loaded(releaseDigest)
    child.process.on('message', (message: FromRunner) => {
      if (message.type === 'window') child.send({ type: 'stored', window: message.window })
    })
    const order = { type: 'serve' as const, source, windowMs: 15, ...(checkpoint ? { checkpoint } : {}) }
    expect(await child.ask(order, 'serving')).toEqual({ type: 'serving' })
    return child
  }

  async function serveToEnd(source: SourceConfig, checkpoint?: Checkpoint, releaseDigest?: string) {
    const child = await serving(source, checkpoint, releaseDigest)
    await child.hear('source-ended')
    await child.ask({ type: 'hand-over' }, 'handed-over')
    return windowsOf(child)
  }

  async function windowWithReadings(child: Child): Promise<WindowMessage> {
    for (let from = 0; ; from++) {
      const found = await child.hear('window', from)
      if (!found) throw new Error('the runner ended')
      if (found.record.readings > 3) return found
      from = child.heard.indexOf(found)
    }
  }

  function windowsOf(child: Child): WindowMessage[] {
    return child.heard.filter((message): message is WindowMessage => message.type === 'window')
  }
})

test('nothing about the model is written to the home directory, in no CI either', async () => {
  const HOME = temporaryFolder()
  const child = new Child({ HOME, CI: undefined, XDG_CACHE_HOME: undefined })
  await child.ask(stage(), 'loaded')
  await child.ask({ type: 'self-test' }, 'tested')
  child.send({ type: 'stop' })
  await child.exited
  expect(readdirSync(HOME)).toEqual([])
})
