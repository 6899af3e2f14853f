import { golden } from '@godwit/protocol/release/golden'
import { type Features, pipeline } from '@godwit/protocol/release/pipeline'
import type { BundleFile, Release } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import type { Blobs } from '../blobs/blobs.ts'
import { ioOfGraph, misfitsOfFeatures, misfitsOfGolden } from './golden-fit.ts'
import { misfitsOfRequirements } from './io-fit.ts'
import { inspectOnnx, type OnnxInfo } from './onnx-file.ts'

type Limits = { partBytesMax: number; onnxBytesMax: number }

/**
 * What is wrong with the graph between readings and model; empty when there is none or nothing (SPEC 4.6.3). A pipeline
 * that cannot be read is told elsewhere. Called when all files of the release are there.
 */
export async function misfitsOfFeatureFiles(
  document: Release,
  blobs: Blobs,
  limits: Limits,
): Promise<string[]> {
  const line = parsed(await bytesOf(document.files[document.pipeline]!, blobs, limits.partBytesMax))
  const read = line === undefined ? undefined : pipeline.check(line)
  if (!read?.ok || !read.value.features) return []
  const { features } = read.value
  const absent = [features.file, features.golden].filter((path) => !Object.hasOwn(document.files, path))
  if (absent.length > 0) return absent.map((path) => `features: no file ${path} in the bundle`)
  const bytes = await bytesOf(document.files[features.file]!, blobs, limits.onnxBytesMax)
  if (!bytes) return [`features: ${features.file} is larger than this hub opens`]
  const graph = inspectOnnx(bytes)
  if (!graph.ok) return [`features: ${features.file} ${graph.detail}`]
  return [
    ...misfitsOfRequirements(graph.value, document.requires).map((misfit) => `features: ${misfit}`),
    ...misfitsOfFeatures(read.value, graph.value, document.io),
    ...(await misfitsOfVectors(document, features, graph.value, blobs, limits)),
  ]
}

/** Golden vectors of the release begin behind the features; these are what a device judges the graph by. */
async function misfitsOfVectors(
  { files }: Release,
  { golden: path }: Features,
  graph: OnnxInfo,
  blobs: Blobs,
  { partBytesMax }: Limits,
): Promise<string[]> {
  const value = parsed(await bytesOf(files[path]!, blobs, partBytesMax))
  if (value === undefined) return [`features: ${path} is no JSON, or larger than ${partBytesMax} bytes`]
  const read = golden.check(value)
  const misfits = read.ok ? misfitsOfGolden(read.value, ioOfGraph(graph)) : [read.detail]
  return misfits.map((misfit) => `features: ${path}: ${misfit}`)
}

async function bytesOf(
  { sha256, sizeBytes }: BundleFile,
  blobs: Blobs,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  return sizeBytes > bytesMax ? undefined : blobs.read(sha256, bytesMax)
}

function parsed(bytes: Uint8Array | undefined): unknown {
  const read = bytes && parseStrict(bytes)
  return read?.ok ? read.value : undefined
}
