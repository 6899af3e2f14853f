import { misfitsOfFeatures, misfitsOfPipeline } from '@godwit/hub/registry/golden-fit'
import type { OnnxInfo } from '@godwit/hub/registry/onnx-file'
import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bundle, bundleOf, identityModel, identityPipeline, publish } from '../support/bundle.ts'
import { type Box, newHub } from '../support/new-hub.ts'

const features = { file: 'features.onnx', input: 'x', output: 'y', golden: 'features.json' }
const pipeline: Pipeline = {
  format: 'godwit-pipeline/1',
  fields: ['a', 'b'],
  window: 4,
  features,
  input: 'z',
  outputs: ['score'],
  monitor: [],
}
const tensor = (name: string, shape: (number | string)[], dtype: 'float32' | 'int64' = 'float32') => ({
  name,
  dtype,
  shape,
})
const io = { inputs: [tensor('z', ['N', 7])], outputs: [tensor('score', ['N'])] }
const graph = (change: Partial<OnnxInfo> = {}): OnnxInfo => ({
  irVersion: 8,
  opset: { 'ai.onnx': 17 },
  inputs: [tensor('x', ['N', 4, 2])],
  outputs: [tensor('y', ['N', 7]), tensor('rms', ['N', 1])],
  ...change,
})

test('a graph fits that takes the readings and gives what the model takes', () => {
  expect(misfitsOfPipeline(pipeline, io)).toEqual([])
  expect(misfitsOfFeatures(pipeline, graph(), io)).toEqual([])
})

test.each<[string, Partial<OnnxInfo>, string]>([
  [
    'takes other readings',
    { inputs: [tensor('x', ['N', 3, 2])] },
    'input x: makes shape [1,4,2], the features graph takes [N,3,2]',
  ],
  [
    'takes something besides',
    { inputs: [tensor('x', [1, 4, 2]), tensor('w', [1])] },
    'features: input w is needed, and readings feed only one',
  ],
  ['has no such output', { outputs: [tensor('rms', [1])] }, 'features: the graph has no output y'],
  [
    'gives another shape',
    { outputs: [tensor('y', [1, 8])] },
    'features: y has shape [1,8], the model takes [N,7]',
  ],
  [
    'gives another type',
    { outputs: [tensor('y', [1, 7], 'int64')] },
    'features: y is int64, the model takes float32',
  ],
])('a graph that %s is told by name', (_, change, misfit) => {
  expect(misfitsOfFeatures(pipeline, graph(change), io)).toEqual([misfit])
})

test('a monitor may take what the graph makes, and only where there is one', () => {
  const monitor = [{ name: 'rms', of: { feature: 'rms' } }]
  expect(misfitsOfFeatures({ ...pipeline, monitor }, graph(), io)).toEqual([])
  const { features: _, ...without } = { ...pipeline, monitor }
  const flat = { ...io, inputs: [tensor('z', ['N', 4, 2])] }
  expect(misfitsOfPipeline(without, flat)).toEqual([
    'monitor: names a feature, and the pipeline has no features',
  ])
})

test('a gap is bridged for no more points than a device makes at once', () => {
  const resample = { intervalMs: 10, how: 'last' as const, gapMsMax: 10_001 }
  expect(misfitsOfPipeline({ ...pipeline, resample }, io)).toEqual([
    expect.stringMatching(/^resample: gapMsMax 10001/),
  ])
})

describe('publishing features', () => {
  let box: Box
  beforeEach(async () => {
    box = await newHub()
  })
  afterEach(() => box.close())

  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const golden: Golden = {
    ...{ format: 'godwit-golden/1', atol: 0, rtol: 0, minAgree: 1 },
    cases: [
      {
        inputs: { window: { dtype: 'float32', shape: [1, 2, 2], data: [1, 2, 3, 4] } },
        outputs: { score: { dtype: 'float32', shape: [1, 2, 2], data: [1, 2, 3, 4] } },
      },
    ],
  }

  /** The identity twice: once as features, once as the model. */
  function withFeatures(parts: Record<string, Uint8Array> = {}, change: object = {}): Bundle {
    const line = {
      ...identityPipeline,
      features: {
        file: 'features.onnx',
        input: 'window',
        output: 'score',
        golden: 'features.json',
        ...change,
      },
    }
    return bundleOf(
      {},
      {
        'features.onnx': identityModel(),
        'features.json': json(golden),
        'pipeline.json': json(line),
        ...parts,
      },
    )
  }

  async function mistakesOf(bundle: Bundle): Promise<string[]> {
    const verdict = await publish(box.hub, bundle)
    return verdict.published ? [] : verdict.mistakes.map(({ pointer = '', detail }) => `${pointer} ${detail}`)
  }

  test('a release with features enters, its graph looked at like a model', async () => {
    expect(await mistakesOf(withFeatures())).toEqual([])
  })

  test('features that are not there, are no graph, or have no vectors that fit are refused', async () => {
    expect(await mistakesOf(withFeatures({}, { file: 'other.onnx' }))).toEqual([
      '#/pipeline pipeline.json: features: no file other.onnx in the bundle',
    ])
    expect(await mistakesOf(withFeatures({ 'features.onnx': json('no model') }))).toEqual([
      expect.stringMatching(/features\.onnx is cut off/),
    ])
    const other = structuredClone(golden)
    other.cases[0]!.inputs['window']!.shape = [1, 4, 1]
    expect(await mistakesOf(withFeatures({ 'features.json': json(other) }))).toEqual([
      expect.stringMatching(/features\.json: case 0: input window: has shape \[1,4,1\]/),
    ])
  })
})
