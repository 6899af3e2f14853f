import Type, { type Static } from 'typebox'
import { blockBytesMax, blockBytesMin, blocksPerFileMax, filesPerReleaseMax } from '../limits.ts'
import {
  Count,
  defineDocument,
  mapOf,
  Rfc3339,
  recordOf,
  Segment,
  Sha256Hex,
  VersionName,
} from '../schema.ts'

/** Tensor element types, named as the Open Inference Protocol's lower case ONNX Runtime twins. */
export const dtypes = [
  'bool',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'int8',
  'int16',
  'int32',
  'int64',
  'float16',
  'float32',
  'float64',
  'string',
] as const
export type Dtype = (typeof dtypes)[number]
export const DtypeName = Type.Unsafe<Dtype>(Type.String({ enum: [...dtypes] }))

/** Relative POSIX path without `.` or `..` parts: it becomes a file name on a device. */
export const BundlePath = Type.String({
  pattern:
    '^(?!.*(?:^|/)\\.{1,2}(?:/|$))[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,7}$',
})

export const BundleFile = Type.Object({
  sha256: Sha256Hex,
  sizeBytes: Type.Integer({ minimum: 1 }),
  blockBytes: Type.Integer({ minimum: blockBytesMin, maximum: blockBytesMax }),
  /** SHA-256 of each block, in order; each is checked before it is kept. */
  blocks: Type.Array(Sha256Hex, { minItems: 1, maxItems: blocksPerFileMax }),
})
export type BundleFile = Static<typeof BundleFile>

export const TensorInfo = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 256 }),
  dtype: DtypeName,
  /** A number is fixed, a string names a free dimension. */
  shape: Type.Array(Type.Union([Count, Type.String({ maxLength: 64 })]), { maxItems: 16 }),
})
export type TensorInfo = Static<typeof TensorInfo>

export const Variant = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  file: BundlePath,
  /** Those it was made for. Which of them a device tries, and in which order, is the device's policy (SPEC 6.8). */
  executionProviders: Type.Array(Type.String({ maxLength: 32 }), { minItems: 1, maxItems: 8 }),
  precision: Type.String({ maxLength: 32 }),
})
export type Variant = Static<typeof Variant>

/** The signed record of a version: what a publisher promises and what a device checks (SPEC 4.2). */
export const Release = Type.Object({
  format: Type.Literal('godwit-release/1'),
  model: Segment,
  version: VersionName,
  /** Strictly increasing per model: the order in which releases were made, whatever their names. */
  releaseCounter: Type.Integer({ minimum: 1 }),
  createdAt: Rfc3339,
  note: Type.Optional(Type.String({ maxLength: 4096 })),
  files: recordOf(BundlePath, BundleFile, { minProperties: 1, maxProperties: filesPerReleaseMax }),
  variants: Type.Array(Variant, { minItems: 1, maxItems: 16 }),
  io: Type.Object({
    inputs: Type.Array(TensorInfo, { minItems: 1 }),
    outputs: Type.Array(TensorInfo, { minItems: 1 }),
  }),
  /** Bundle paths of the parts. */
  golden: BundlePath,
  pipeline: BundlePath,
  profile: Type.Optional(BundlePath),
  card: Type.Optional(BundlePath),
  requires: Type.Object({
    opset: mapOf(Count),
    irVersion: Count,
    memoryBytes: Type.Optional(Count),
    arch: Type.Optional(Type.Array(Type.String({ maxLength: 32 }))),
  }),
  /** Limits that the self-test holds the candidate to; an absent one is not judged. */
  promises: Type.Object({
    p95Micros: Type.Optional(Count),
    memoryBytes: Type.Optional(Count),
    /** Of one inference, above what the device draws at rest. */
    energyMillijoules: Type.Optional(Type.Number({ minimum: 0 })),
  }),
  provenance: Type.Optional(
    Type.Object({
      trainer: Type.Optional(Type.String({ maxLength: 256 })),
      commit: Type.Optional(Type.String({ maxLength: 128 })),
      dataset: Type.Optional(
        Type.Array(Type.Object({ name: Type.String({ maxLength: 256 }), sha256: Sha256Hex })),
      ),
      parent: Type.Optional(VersionName),
    }),
  ),
})
export type Release = Static<typeof Release>
export const release = defineDocument('release', Release)

/** The name under which the targets role lists a release (SPEC 4.1). */
export function targetPathOf(model: string, version: string): string {
  return `${model}/${version}/release.json`
}

/** The short record beside the target's digest, so that a hub can order releases without their documents. */
export const TargetCustom = Type.Object({
  kind: Type.Literal('godwit-release/1'),
  model: Segment,
  version: VersionName,
  releaseCounter: Type.Integer({ minimum: 1 }),
})
export type TargetCustom = Static<typeof TargetCustom>
export const targetCustom = defineDocument('target custom', TargetCustom)

/** What the schema cannot say: parts exist, block counts fit sizes, names are unique. Returns the mistakes. */
export function mistakesOf(value: Release): string[] {
  const mistakes: string[] = []
  const parts: [string, string | undefined][] = [
    ['golden', value.golden],
    ['pipeline', value.pipeline],
    ['profile', value.profile],
    ['card', value.card],
    ...value.variants.map((v): [string, string] => [`variant ${v.name}`, v.file]),
  ]
  for (const [part, path] of parts) {
    if (path !== undefined && !Object.hasOwn(value.files, path))
      mistakes.push(`${part}: no file ${path} in the bundle`)
  }
  for (const [path, file] of Object.entries(value.files)) {
    const expected = Math.ceil(file.sizeBytes / file.blockBytes)
    if (file.blocks.length !== expected) {
      mistakes.push(`${path}: ${file.blocks.length} blocks, ${expected} expected for ${file.sizeBytes} bytes`)
    }
  }
  const names = value.variants.map((v) => v.name)
  if (new Set(names).size !== names.length) mistakes.push('variants: a name stands twice')
  return mistakes
}
