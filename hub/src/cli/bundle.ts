import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'
import { blockBytesFor } from '@godwit/protocol/release/blocks'
import { type Golden, golden } from '@godwit/protocol/release/golden'
import { pipeline } from '@godwit/protocol/release/pipeline'
import {
  type BundleFile,
  mistakesOf,
  type Release,
  release,
  type TensorInfo,
  type Variant,
} from '@godwit/protocol/release/release'
import { type Document, defineDocument } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { toRfc3339 } from '@godwit/protocol/units'
import Type, { type Static, type TSchema } from 'typebox'
import { parse as parseYaml } from 'yaml'
import { inspectOnnx, type OnnxTensor } from '../registry/onnx-file.ts'
import { CliError } from './exit.ts'

/** `bundle.yaml`: what a directory cannot say by its files alone. All of it is optional. */
const Manifest = Type.Object(
  {
    note: Type.Optional(Type.String()),
    variants: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String(),
          file: Type.String(),
          executionProviders: Type.Optional(Type.Array(Type.String())),
          precision: Type.Optional(Type.String()),
        }),
      ),
    ),
    promises: Type.Optional(
      Type.Object({
        p95Micros: Type.Optional(Type.Integer({ minimum: 1 })),
        memoryBytes: Type.Optional(Type.Integer({ minimum: 1 })),
        energyMillijoules: Type.Optional(Type.Number({ minimum: 0 })),
      }),
    ),
    requires: Type.Optional(
      Type.Object({
        memoryBytes: Type.Optional(Type.Integer({ minimum: 1 })),
        arch: Type.Optional(Type.Array(Type.String())),
      }),
    ),
    provenance: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
)
type Manifest = Static<typeof Manifest>
const manifestDocument = defineDocument('bundle.yaml', Manifest)

export type PackedBundle = {
  release: Release
  bytes: Uint8Array
  files: { path: string; absolute: string; sha256: string }[]
}

/**
 * Reads a bundle directory and describes it as a release: `*.onnx` (the variants), `golden.json`, `pipeline.json`, and,
 * when present, `profile.json`, `README.md` (the card) and `bundle.yaml`. Nothing is written.
 */
export async function packBundle(
  directory: string,
  identity: {
    model: string
    version: string
    releaseCounter: number
    now: number
    note?: string
    parent?: string
  },
): Promise<PackedBundle> {
  if (!existsSync(directory) || !statSync(directory).isDirectory()) {
    throw new CliError(
      'notFound',
      'bundle_missing',
      `${directory} is no directory`,
      'a bundle is a directory with model.onnx, golden.json and pipeline.json',
    )
  }
  const manifest = readManifest(directory)
  const paths = filesOf(directory).filter((path) => path !== 'bundle.yaml')
  for (const needed of ['golden.json', 'pipeline.json']) {
    if (!paths.includes(needed)) {
      throw new CliError(
        'failure',
        'bundle_incomplete',
        `${directory}: no ${needed}`,
        'golden vectors prove the model on each device; the pipeline says which readings feed it',
      )
    }
  }
  const vectors = readDocument(directory, 'golden.json', golden)
  const { features } = readDocument(directory, 'pipeline.json', pipeline)
  // A graph of features is no model, whatever it is called.
  const variants = variantsOf(
    manifest,
    paths.filter((path) => path !== features?.file),
    directory,
  )
  const described = await Promise.all(
    paths.map(async (path) => [path, await describe(join(directory, path))] as const),
  )
  const model = inspect(join(directory, variants[0]!.file))
  const value: Release = {
    format: 'godwit-release/1',
    model: identity.model,
    version: identity.version,
    releaseCounter: identity.releaseCounter,
    createdAt: toRfc3339(identity.now),
    ...optional('note', identity.note ?? manifest.note),
    files: Object.fromEntries(described),
    variants,
    io: {
      inputs: tensorsOf(model.inputs, vectors, 'inputs'),
      outputs: tensorsOf(model.outputs, vectors, 'outputs'),
    },
    golden: 'golden.json',
    pipeline: 'pipeline.json',
    ...optional(
      'profile',
      paths.find((path) => path === 'profile.json'),
    ),
    ...optional(
      'card',
      paths.find((path) => path === 'README.md'),
    ),
    requires: { opset: model.opset, irVersion: model.irVersion, ...manifest.requires } as Release['requires'],
    promises: (manifest.promises ?? {}) as Release['promises'],
    ...optional('provenance', provenanceOf(manifest, identity.parent)),
  }
  const read = release.check(value)
  if (!read.ok) throw new CliError('failure', 'release_malformed', read.detail)
  const mistakes = mistakesOf(value)
  if (mistakes.length > 0) throw new CliError('failure', 'release_malformed', mistakes.join('; '))
  return {
    release: value,
    bytes: new TextEncoder().encode(JSON.stringify(value)),
    files: described.map(([path, file]) => ({ path, absolute: join(directory, path), sha256: file.sha256 })),
  }
}

function variantsOf(manifest: Manifest, paths: string[], directory: string): Variant[] {
  if (manifest.variants) {
    return manifest.variants.map((v) => ({
      name: v.name,
      file: v.file,
      executionProviders: v.executionProviders ?? ['cpu'],
      precision: v.precision ?? 'fp32',
    }))
  }
  const models = paths.filter((path) => path.endsWith('.onnx'))
  if (models.length !== 1) {
    throw new CliError(
      'failure',
      'bundle_incomplete',
      `${directory}: ${models.length === 0 ? 'no .onnx file' : `${models.length} .onnx files`}`,
      models.length === 0 ? 'put the model beside golden.json' : 'name the variants in bundle.yaml',
    )
  }
  return [{ name: 'fp32', file: models[0]!, executionProviders: ['cpu'], precision: 'fp32' }]
}

function inspect(path: string) {
  const found = inspectOnnx(readFileSync(path))
  if (!found.ok) throw new CliError('verification', 'model_refused', `${basename(path)}: ${found.detail}`)
  return found.value
}

/** Streams the file once for its digest and its blocks'. */
async function describe(path: string): Promise<BundleFile> {
  const sizeBytes = statSync(path).size
  if (sizeBytes === 0) throw new CliError('failure', 'file_empty', `${path} is empty`)
  const blockBytes = blockBytesFor(sizeBytes)
  const whole = createHash('sha256')
  const blocks: string[] = []
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    whole.update(chunk as Buffer)
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    while (rest.length >= blockBytes) {
      blocks.push(createHash('sha256').update(rest.subarray(0, blockBytes)).digest('hex'))
      rest = rest.subarray(blockBytes)
    }
  }
  if (rest.length > 0) blocks.push(createHash('sha256').update(rest).digest('hex'))
  return { sha256: whole.digest('hex'), sizeBytes, blockBytes, blocks }
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => {
      const path = relative(directory, join(entry.parentPath, entry.name)).split(sep).join('/')
      if (entry.isSymbolicLink())
        throw new CliError(
          'failure',
          'symlink_refused',
          `${path} is a symbolic link; a bundle holds files only`,
        )
      return path
    })
    .filter((path) => !path.split('/').some((part) => part.startsWith('.')))
    .sort()
}

function readManifest(directory: string): Manifest {
  const path = join(directory, 'bundle.yaml')
  if (!existsSync(path)) return {}
  const read = manifestDocument.check(parseYaml(readFileSync(path, 'utf8')) ?? {})
  if (!read.ok) throw new CliError('failure', 'bundle_malformed', `${path}: ${read.detail}`)
  return read.value
}

/**
 * The tensors of a release: sequences and maps are left out, because no runner fetches them; a shape that the file does
 * not give has as many free dimensions as the golden vectors show.
 */
function tensorsOf(found: readonly OnnxTensor[], vectors: Golden, side: 'inputs' | 'outputs'): TensorInfo[] {
  return found.flatMap(({ name, dtype, shape }) => {
    const shown = vectors.cases[0]?.[side][name]?.shape
    const dimensions = shape ?? shown?.map((_, i) => `d${i}`)
    return dtype && dimensions ? [{ name, dtype, shape: dimensions }] : []
  })
}

function readDocument<T extends TSchema>(directory: string, name: string, document: Document<T>): Static<T> {
  const parsed = parseStrict(readFileSync(join(directory, name)))
  const read = parsed.ok ? document.check(parsed.value) : parsed
  if (!read.ok) throw new CliError('failure', 'bundle_malformed', `${join(directory, name)}: ${read.detail}`)
  return read.value as Static<T>
}

function provenanceOf(manifest: Manifest, parent: string | undefined): Release['provenance'] | undefined {
  if (!manifest.provenance && !parent) return undefined
  return { ...(manifest.provenance as Release['provenance']), ...optional('parent', parent) }
}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V })
}
