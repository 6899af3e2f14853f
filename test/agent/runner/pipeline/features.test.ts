import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import { expect, test } from 'vitest'
import { meanGolden, meanPipeline, stage } from '../bundle-on-disk.ts'
import { Child } from '../child.ts'
import { pipeline as plain, recordingOf, totalsOf, windowsOver } from '../serve-fixture.ts'

const shape = [1, 3, 2]
const io = {
  inputs: [{ name: 'readings', dtype: 'float32' as const, shape }],
  outputs: [{ name: 'means', dtype: 'float32' as const, shape: [1, 3, 1] }],
}

/** The mean of two fields at each of three readings. */
function featuresGraph(): Uint8Array {
  const graph = new OnnxGraph('features')
  graph.node('means', 'ReduceMean', ['readings'], { axes: [2], keepdims: 1 })
  return graph.encode(io.inputs, io.outputs, { modelVersion: 1, docString: '' })
}

const featureGolden: Golden = {
  ...meanGolden,
  cases: [
    {
      inputs: { readings: { dtype: 'float32', shape, data: [1, 3, 2, 4, 0, 0] } },
      outputs: { means: { dtype: 'float32', shape: [1, 3, 1], data: [2, 3, 0] } },
    },
  ],
}

const pipeline: Pipeline = {
  ...meanPipeline,
  fields: ['a', 'b'],
  features: { file: 'features.onnx', input: 'readings', output: 'means', golden: 'features-golden.json' },
  monitor: [
    { name: 'score', of: { output: 'score' } },
    { name: 'newest', of: { feature: 'means', index: 2 } },
  ],
}

type Change = { pipeline?: Pipeline; golden?: Golden; graph?: Uint8Array; digest?: string }

function staged(change: Change = {}) {
  const graph = change.graph ?? featuresGraph()
  const order = stage({ pipeline: change.pipeline ?? pipeline })
  const reference = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 101) / 10)
  const profile = buildProfile([{ score: reference, newest: reference }], { windowSize: 8 })
  writeFileSync(join(order.directory, 'profile.json'), JSON.stringify(profile))
  writeFileSync(join(order.directory, 'features.onnx'), graph)
  writeFileSync(join(order.directory, 'features-golden.json'), JSON.stringify(change.golden ?? featureGolden))
  const sha256 = change.digest ?? createHash('sha256').update(graph).digest('hex')
  return { ...order, digests: { 'features.onnx': sha256 } }
}

async function testedWith(change: Change) {
  const child = new Child()
  const loaded = await child.ask(staged(change), 'loaded')
  return loaded.type === 'failed' ? loaded : child.ask({ type: 'self-test' }, 'tested')
}

test('readings pass the graph of features before the model, and its numbers are watched', async () => {
  const order = staged()
  const child = new Child()
  await child.ask(order, 'loaded')
  expect(await child.ask({ type: 'self-test' }, 'tested')).toMatchObject({ type: 'tested' })
  const path = join(order.directory, 'recording.csv')
  // Means of 1 and 3 and so on: 2, 3, … 21; the last three average 20.
  const rows = Array.from({ length: 20 }, (_, i) => `${i + 1},${i + 3}`)
  writeFileSync(path, `a,b\n${rows.join('\n')}\n`)
  const source = { kind: 'replay' as const, path, intervalMs: 0, loop: false }
  await child.ask({ type: 'serve', source, windowMs: 60_000 }, 'source-ended')
  const window = child.heard.find((message) => message.type === 'window')
  expect(window?.record).toMatchObject({ readings: 20, warmUp: 2, inferences: 18, errors: 0 })
  // Scores run from 3 to 20, and nine or more lie above 8.
  expect(window?.record.anomalies).toBe(12)
  expect(Object.keys(window?.record.drift[0]?.features ?? {})).toEqual(['score', 'newest'])
})

test('the graph is held to golden vectors of its own', async () => {
  const golden = structuredClone(featureGolden)
  golden.cases[0]!.outputs['means']!.data = [2, 3, 1]
  const answer = await testedWith({ golden })
  expect(answer).toMatchObject({
    code: 'selftest_accuracy',
    detail: expect.stringMatching(/^features: 2 of 3/),
  })
})

test.each<[string, Change, string, RegExp]>([
  [
    'that changed after it was verified',
    { digest: 'f'.repeat(64) },
    'integrity',
    /features\.onnx has SHA-256/,
  ],
  [
    'whose output the model does not take',
    { pipeline: { ...pipeline, window: 4 } },
    'io_schema_mismatch',
    /features: input is readings: float32\[1, 3, 2\], expected readings: float32\[1, 4, 2\]/,
  ],
  [
    'without the output that is asked of it',
    { pipeline: { ...pipeline, features: { ...pipeline.features!, output: 'sums' } } },
    'io_schema_mismatch',
    /the graph has no output sums/,
  ],
  ['that is no model at all', { graph: readFileSync(import.meta.filename) }, 'selftest_load', /cpu/],
])('refuses a graph %s', async (_, change, code, detail) => {
  expect(await testedWith(change)).toMatchObject({ code, detail: expect.stringMatching(detail) })
})

test('with a stride the readings between two inferences only fill the window', async () => {
  const recording = recordingOf(Array.from({ length: 23 }, (_, i) => i % 7))
  const strided = { ...plain, stride: 5 }
  const whole = totalsOf(await windowsOver(recording, { pipeline: strided, windowMs: 60_000 }))
  // Inferred at the third reading and each fifth after it: 3, 8, 13, 18, 23.
  expect(whole).toMatchObject({ readings: 23, inferences: 5, warmUp: 18, errors: 0 })
  const [first, ...rest] = await windowsOver(recording, { pipeline: strided, windowMs: 4 })
  const { checkpoint } = first!
  const resumed = await windowsOver(recording, {
    pipeline: strided,
    windowMs: 60_000,
    checkpoint: checkpoint!,
  })
  expect(totalsOf([first!, ...resumed])).toMatchObject({ readings: 23, inferences: 5, warmUp: 18 })
  expect(totalsOf([first!, ...rest])).toEqual(whole)
})
