import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ToRunner } from '@godwit/agent/runner/messages'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { describeFile } from '@godwit/protocol/release/blocks'
import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import onnxProto from 'onnx-proto'
import { afterAll } from 'vitest'

const { onnx } = onnxProto

export type LoadOrder = Extract<ToRunner, { type: 'load' }>

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Gone again when the test file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-runner-'))
  folders.push(folder)
  return folder
}

const window = 3
const io: LoadOrder['io'] = {
  inputs: [{ name: 'x', dtype: 'float32', shape: ['N', window, 1] }],
  outputs: [{ name: 'score', dtype: 'float32', shape: ['N'] }],
}

/** Mean of the window, times `gain`, divided by `divisor`: 0 and 1 make an impostor, 0 and 0 make NaN. */
export function meanModel(gain = 1, divisor = 1): Uint8Array {
  const graph = new OnnxGraph('mean')
  const mean = graph.node('mean', 'ReduceMean', ['x'], { axes: [1, 2], keepdims: 0 })
  const scaled = graph.node('scaled', 'Mul', [mean, graph.floats('gain', [1], [gain])])
  graph.node('score', 'Div', [scaled, graph.floats('divisor', [1], [divisor])])
  return graph.encode(io.inputs, io.outputs, { modelVersion: 1, docString: '' })
}

/** A model with other declared shapes; its nodes stay as they are. */
export function reshaped(model: Uint8Array, shape: readonly number[]): Uint8Array {
  const decoded = onnx.ModelProto.decode(model)
  const dim = shape.map((dimValue) => ({ dimValue }))
  for (const { type } of [...decoded.graph!.input!, ...decoded.graph!.output!])
    type!.tensorType!.shape = { dim }
  return Uint8Array.from(onnx.ModelProto.encode(decoded).finish())
}

export const meanPipeline: Pipeline = {
  format: 'godwit-pipeline/1',
  fields: ['t'],
  window,
  input: 'x',
  outputs: ['score'],
  decision: { output: 'score', above: 8 },
  monitor: [
    { name: 'score', of: { output: 'score' } },
    { name: 'step', of: { incrementOf: 't' } },
  ],
}

export const meanGolden: Golden = {
  format: 'godwit-golden/1',
  atol: 1e-6,
  rtol: 1e-6,
  minAgree: 1,
  cases: [
    [1, 2, 3],
    [0, 0, 9],
  ].map((data) => ({
    inputs: { x: { dtype: 'float32', shape: [1, window, 1], data } },
    outputs: { score: { dtype: 'float32', shape: [1], data: [data.reduce((a, b) => a + b) / window] } },
  })),
}

const reference = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 101) / 10)
const profile = buildProfile([{ score: reference, step: reference.map((value) => value - 5) }], {
  windowSize: 8,
})

export type Bundle = {
  model?: Uint8Array
  golden?: Golden
  pipeline?: Pipeline
  io?: LoadOrder['io']
  hasProfile?: boolean
}

/** A model of one input and one output with the shapes that a pipeline can feed, so that it is not refused before it runs. */
export function disguise(model: Uint8Array): Bundle {
  const shape = [1, 1, 1]
  const tensor = { dtype: 'float32' as const, shape }
  return {
    model: reshaped(model, shape),
    io: { inputs: [{ name: 'x', ...tensor }], outputs: [{ name: 'y', ...tensor }] },
    pipeline: {
      ...meanPipeline,
      window: 1,
      outputs: ['y'],
      decision: { output: 'y', above: 1 },
      monitor: [],
    },
    golden: {
      ...meanGolden,
      cases: [{ inputs: { x: { ...tensor, data: [1] } }, outputs: { y: { ...tensor, data: [1] } } }],
    },
    hasProfile: false,
  }
}

const emptyFile = { sha256: createHash('sha256').digest('hex'), sizeBytes: 0, blockBytes: 65_536, blocks: [] }

/** A staged bundle as control leaves it, and the order to load it. */
export function stage({ model = meanModel(), hasProfile = true, ...bundle }: Bundle = {}): LoadOrder {
  const directory = temporaryFolder()
  writeFileSync(join(directory, 'model.onnx'), model)
  writeFileSync(join(directory, 'golden.json'), JSON.stringify(bundle.golden ?? meanGolden))
  writeFileSync(join(directory, 'pipeline.json'), JSON.stringify(bundle.pipeline ?? meanPipeline))
  writeFileSync(join(directory, 'profile.json'), JSON.stringify(profile))
  return {
    type: 'load',
    slot: 'main',
    model: 'mean',
    version: '1',
    releaseDigest: 'a'.repeat(64),
    directory,
    variant: { name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'fp32' },
    modelFile: model.length > 0 ? describeFile(model) : emptyFile,
    io: bundle.io ?? io,
    golden: 'golden.json',
    pipeline: 'pipeline.json',
    ...(hasProfile ? { profile: 'profile.json' } : {}),
    executionProviders: ['cuda', 'cpu'],
    threads: 1,
    proofNonce: 'session-1',
  }
}
