import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BundleOrder, makeBundle } from '@godwit/agent/bundle/make-bundle'
import { packBundle } from '@godwit/hub/cli/bundle'
import type { Profile } from '@godwit/protocol/drift/profile'
import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import { beforeAll, describe, expect, test } from 'vitest'
import { meanModel, temporaryFolder } from '../runner/bundle-on-disk.ts'
import { Child } from '../runner/child.ts'

// What the command line does before the runtime loads.
beforeAll(() => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1'
})

type Io = { name: string; dtype: 'float32'; shape: (number | string)[] }
const tensor = (name: string, shape: (number | string)[]): Io => ({ name, dtype: 'float32', shape })

/** Numbers that wander without repeating, the same each time. */
const wander = (length: number) =>
  Array.from({ length }, (_, i) => 20 + 5 * Math.sin(i / 7) + ((i * 7919) % 101) / 50)

function csvOf(columns: Record<string, readonly (number | string)[]>): string {
  const names = Object.keys(columns)
  const rows = columns[names[0]!]!.map((_, i) => names.map((name) => columns[name]![i]).join(','))
  return `${[names.join(','), ...rows].join('\n')}\n`
}

/** A model and recordings in a directory of their own; `order` is what to make of them. */
function given(model: Uint8Array, recordings: readonly string[], change: Partial<BundleOrder> = {}) {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'm.onnx'), model)
  const readings = recordings.map((text, i) => {
    const path = join(folder, `device-${i}.csv`)
    writeFileSync(path, text)
    return path
  })
  const order: BundleOrder = {
    model: join(folder, 'm.onnx'),
    readings,
    out: join(folder, 'bundle'),
    terms: {},
    golden: { count: 12, tolerance: 1e-3 },
    ...change,
  }
  const read = <T>(name: string) => JSON.parse(readFileSync(join(order.out, name), 'utf8')) as T
  return { order, folder, read }
}

/** A runner that has loaded what publishing made of the bundle. */
async function runnerWith(directory: string) {
  const { release } = await packBundle(directory, { model: 'mean', version: '1', releaseCounter: 1, now: 0 })
  const child = new Child()
  const loaded = await child.ask(
    {
      type: 'load',
      slot: 'main',
      model: 'mean',
      version: '1',
      releaseDigest: 'a'.repeat(64),
      directory,
      variant: release.variants[0]!,
      modelFile: release.files[release.variants[0]!.file]!,
      digests: Object.fromEntries(Object.entries(release.files).map(([path, { sha256 }]) => [path, sha256])),
      io: release.io,
      golden: release.golden,
      pipeline: release.pipeline,
      ...(release.profile && { profile: release.profile }),
      executionProviders: ['cpu'],
      threads: 1,
      proofNonce: 'session-1',
    },
    'loaded',
  )
  expect(loaded).toMatchObject({ type: 'loaded' })
  return child
}

test('makes of a model and readings what can be published and what a device proves', async () => {
  const { order, read } = given(meanModel(), [csvOf({ t: wander(700), note: wander(700).map(String) })], {
    terms: { fields: ['t'], above: 26 },
  })
  const made = await makeBundle(order)
  expect(made).toMatchObject({
    window: 3,
    readings: 700,
    inferences: 698,
    golden: { vectors: 12, leftOut: 0 },
  })
  expect(made.otherEngine).toBe('agrees with all 12 numbers')
  expect(read<Pipeline>('pipeline.json')).toMatchObject({
    window: 3,
    decision: { output: 'score', above: 26 },
    monitor: [{ name: 'score', of: { output: 'score' } }],
  })
  const child = await runnerWith(order.out)
  expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({ agreed: 12, total: 12 })
})

test('golden vectors reach from the least answer to the greatest', async () => {
  const { order, read } = given(meanModel(), [csvOf({ t: [...wander(500), 90, 95, 99, ...wander(50)] })])
  const { answers } = await makeBundle(order)
  const expected = read<Golden>('golden.json').cases.map(({ outputs }) => outputs['score']!.data[0] as number)
  expect(Math.max(...expected)).toBe(answers.max)
  expect(Math.max(...expected)).toBeGreaterThan(90)
  expect([...expected].sort((a, b) => a - b)).toEqual(expected)
})

test('the reference counts what a device counts, with gaps, a stride and steps of fields', async () => {
  const readings = wander(5_000).map((value, i) => (i % 97 === 50 ? '' : value))
  const { order, read, folder } = given(meanModel(), [csvOf({ t: readings })], {
    terms: { stride: 2, monitor: ['score', '+t'] },
  })
  expect(await makeBundle(order)).toMatchObject({ incompleteReadings: 52 })
  const child = await runnerWith(order.out)
  const source = { kind: 'replay' as const, path: join(folder, 'device-0.csv'), intervalMs: 0, loop: false }
  await child.ask({ type: 'serve', source, windowMs: 60_000 }, 'source-ended')
  const windows = child.heard.flatMap((message) => (message.type === 'window' ? message.record.drift : []))
  const profile = read<Profile>('profile.json')
  expect(windows.length).toBe(profile.windows)
  for (const { name, referenceCounts } of profile.features) {
    const counted = referenceCounts.map((_, bin) =>
      windows.reduce((sum, { features }) => sum + features[name]!.counts[bin]!, 0),
    )
    expect({ name, counted }).toEqual({ name, counted: referenceCounts })
  }
})

test('recordings of several devices are not joined: no window and no step reaches across', async () => {
  const apart = [csvOf({ t: [1, 1, 1, 1] }), csvOf({ t: [9, 9, 9, 9] })]
  const { order, read } = given(meanModel(), apart, { golden: { count: 50, tolerance: 1e-3 } })
  const made = await makeBundle(order)
  expect(made).toMatchObject({ inferences: 4, profile: { none: expect.stringMatching(/0 windows/) } })
  const answers = read<Golden>('golden.json').cases.map(({ outputs }) => outputs['score']!.data[0])
  expect(answers).toEqual([1, 1, 9, 9])
  expect(existsSync(join(order.out, 'profile.json'))).toBe(false)
})

test('a pipeline of one’s own, with a features graph, gets golden vectors for both', async () => {
  const graph = new OnnxGraph('features')
  graph.node('x', 'ReduceMean', ['readings'], { axes: [2], keepdims: 1 })
  const encoded = graph.encode([tensor('readings', [1, 3, 2])], [tensor('x', [1, 3, 1])], {
    modelVersion: 1,
    docString: '',
  })
  const { order, folder } = given(meanModel(), [csvOf({ b: wander(2_000), a: wander(2_000).reverse() })])
  const pipeline: Pipeline = {
    format: 'godwit-pipeline/1',
    fields: ['a', 'b'],
    window: 3,
    features: { file: 'graphs/mean.onnx', input: 'readings', output: 'x', golden: 'graphs/mean.json' },
    input: 'x',
    outputs: ['score'],
    monitor: [{ name: 'newest', of: { feature: 'x', index: 2 } }],
  }
  const own = join(temporaryFolder(), 'pipeline.json')
  writeFileSync(own, JSON.stringify({ ...pipeline, features: { ...pipeline.features!, file: 'graph.onnx' } }))
  writeFileSync(join(own, '..', 'graph.onnx'), encoded)
  const out = join(folder, 'with-features')
  await makeBundle({ ...order, out, pipeline: own })
  expect(readdirSync(out).sort()).toEqual(
    [
      'README.md',
      'golden.json',
      'graph.onnx',
      'graphs',
      'model.onnx',
      'pipeline.json',
      'profile.json',
    ].sort(),
  )
  const child = await runnerWith(out)
  expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({ type: 'tested' })
})

describe('windows whose answer hangs on rounding', () => {
  /** Whole parts of the mean: at 5 a millionth less is another answer. */
  const floorModel = () => {
    const graph = new OnnxGraph('floor')
    graph.node('mean', 'ReduceMean', ['x'], { axes: [1, 2], keepdims: 0 })
    graph.node('score', 'Floor', ['mean'])
    return graph.encode([tensor('x', ['N', 1, 1])], [tensor('score', ['N'])], {
      modelVersion: 1,
      docString: '',
    })
  }

  test('are no golden vectors', async () => {
    const { order, read } = given(floorModel(), [csvOf({ t: [1.5, 2, 2.5, 3, 3.5] })])
    expect(await makeBundle(order)).toMatchObject({ golden: { vectors: 3, leftOut: 2 } })
    const inputs = read<Golden>('golden.json').cases.map((one) => one.inputs['x']!.data[0])
    expect(inputs).toEqual([1.5, 2.5, 3.5])
  })

  test('and where there are no others, no bundle is made', async () => {
    const { order } = given(floorModel(), [csvOf({ t: [1, 2, 3] })])
    await expect(makeBundle(order)).rejects.toMatchObject({ code: 'bundle-golden' })
    expect(existsSync(order.out)).toBe(false)
  })
})

describe('what does not fit is said, and nothing is left behind', () => {
  const openWindow = () => {
    const graph = new OnnxGraph('open')
    graph.node('score', 'ReduceMean', ['x'], { axes: [1, 2], keepdims: 0 })
    return graph.encode([tensor('x', [1, 'T', 1])], [tensor('score', [1])], {
      modelVersion: 1,
      docString: '',
    })
  }
  const twoInputs = () => {
    const graph = new OnnxGraph('two')
    graph.node('score', 'Add', ['x', 'y'])
    const io = [tensor('x', [1, 1]), tensor('y', [1, 1])]
    return graph.encode(io, [tensor('score', [1, 1])], { modelVersion: 1, docString: '' })
  }
  const some = csvOf({ t: wander(50) })

  test.each<[string, Uint8Array, string, Partial<BundleOrder>, string, RegExp]>([
    [
      'another number of fields',
      meanModel(),
      csvOf({ t: [1, 2], u: [3, 4] }),
      {},
      'bundle-input',
      /there are 2 fields/,
    ],
    ['two inputs', twoInputs(), some, {}, 'bundle-input', /has 2 inputs \(x: float32\[1, 1\], y/],
    ['a window that nobody says', openWindow(), some, {}, 'bundle-window', /give --window/],
    [
      'another window',
      meanModel(),
      some,
      { terms: { window: 7 } },
      'bundle-input',
      /takes 3 readings at a time/,
    ],
    [
      'an output that is not there',
      meanModel(),
      some,
      { terms: { outputs: ['no'] } },
      'bundle-output',
      /no output no .*has score/,
    ],
    [
      'a field that is not there',
      meanModel(),
      some,
      { terms: { fields: ['u'] } },
      'recording-lacks-field',
      /no column u; it has t/,
    ],
    [
      'too few readings',
      meanModel(),
      csvOf({ t: [1, 2] }),
      {},
      'bundle-readings',
      /no window of 3 whole readings/,
    ],
    ['an answer that is no number', meanModel(0, 0), some, {}, 'bundle-answer', /score is NaN/],
    ['no model', Buffer.from('<html>'), some, {}, 'bundle-model', /does not load/],
    [
      'a recording that is not there',
      meanModel(),
      some,
      { readings: ['gone.csv'] },
      'bundle-readings',
      /cannot read gone\.csv/,
    ],
  ])('%s', async (_, model, recording, change, code, message) => {
    const { order, folder } = given(model, [recording], change)
    const before = readdirSync(folder)
    const failure = await makeBundle(order).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(readdirSync(folder)).toEqual(before)
  })

  test('a window that the model leaves open is the one that was asked for', async () => {
    const { order } = given(openWindow(), [some], { terms: { window: 5 } })
    expect(await makeBundle(order)).toMatchObject({ window: 5, inferences: 46 })
  })

  test('a directory that is there is not written into', async () => {
    const { order } = given(meanModel(), [some])
    await makeBundle(order)
    await expect(makeBundle(order)).rejects.toMatchObject({ code: 'bundle-exists' })
  })
})
