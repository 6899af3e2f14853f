import type { Hub } from '@godwit/hub/wiring'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { type Release, targetPathOf } from '@godwit/protocol/release/release'
import type { TargetFile } from '@godwit/protocol/trust/metadata'
import onnxProto from 'onnx-proto'

const { onnx } = onnxProto
type Graph = ConstructorParameters<typeof onnx.GraphProto>[0]

function tensorValue(name: string, shape: readonly (number | string)[], elemType = 1) {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}

/** `score = Identity(window)`: the smallest model that a pipeline can feed. */
export function identityModel(graph: Partial<NonNullable<Graph>> = {}, model: object = {}): Uint8Array {
  return onnx.ModelProto.encode(
    onnx.ModelProto.create({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 13 }],
      graph: {
        name: 'identity',
        node: [{ opType: 'Identity', input: ['window'], output: ['score'] }],
        input: [tensorValue('window', [1, 2, 2])],
        output: [tensorValue('score', [1, 2, 2])],
        ...graph,
      },
      ...model,
    }),
  ).finish()
}

export const identityGolden: Golden = {
  ...{ format: 'godwit-golden/1', atol: 1e-6, rtol: 0, minAgree: 1 },
  cases: [
    {
      inputs: { window: { dtype: 'float32', shape: [1, 2, 2], data: [1, 2, 3, 4] } },
      outputs: { score: { dtype: 'float32', shape: [1, 2, 2], data: [1, 2, 3, 4] } },
    },
  ],
}

export const identityPipeline: Pipeline = {
  ...{ format: 'godwit-pipeline/1', fields: ['humidity', 'temperature'], window: 2, input: 'window' },
  outputs: ['score'],
  monitor: [{ name: 'score', of: { output: 'score' } }],
}

export type Bundle = { release: Release; bytes: Uint8Array; files: Uint8Array[] }

/** A release of that model, with changes to the document and to single files. */
export function bundleOf(change: Partial<Release> = {}, parts: Record<string, Uint8Array> = {}): Bundle {
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const files: Record<string, Uint8Array> = {
    'model.onnx': identityModel(),
    'golden.json': json(identityGolden),
    'pipeline.json': json(identityPipeline),
    ...parts,
  }
  const tensor = { dtype: 'float32' as const, shape: [1, 2, 2] }
  const release: Release = {
    ...{ format: 'godwit-release/1', model: 'identity', version: '1', releaseCounter: 1 },
    createdAt: '2026-11-01T00:00:00Z',
    files: Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, describeFile(bytes)])),
    variants: [{ name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'fp32' }],
    io: { inputs: [{ name: 'window', ...tensor }], outputs: [{ name: 'score', ...tensor }] },
    ...{ golden: 'golden.json', pipeline: 'pipeline.json' },
    requires: { opset: { 'ai.onnx': 13 }, irVersion: 8 },
    promises: {},
    ...change,
  }
  return { release, bytes: json(release), files: Object.values(files) }
}

async function* oneChunk(bytes: Uint8Array) {
  yield bytes
}

/** Uploads the files and hands in the release. */
export async function publish({ services }: Hub, { bytes, files }: Bundle) {
  for (const file of files) await services.blobs.put(sha256Hex(file), oneChunk(file))
  return services.registry.publish(bytes, 'test')
}

/** The targets' entry for it. */
export function targetOf({ release, bytes }: Bundle): Record<string, TargetFile> {
  const { model, version, releaseCounter } = release
  const custom = { kind: 'godwit-release/1', model, version, releaseCounter }
  return {
    [targetPathOf(model, version)]: { length: bytes.length, hashes: { sha256: sha256Hex(bytes) }, custom },
  }
}
