import { createHash } from 'node:crypto'
import { readProfile } from '@godwit/protocol/drift/profile'
import { releaseBytesMax } from '@godwit/protocol/limits'
import { blockRange } from '@godwit/protocol/release/blocks'
import { golden } from '@godwit/protocol/release/golden'
import { pipeline } from '@godwit/protocol/release/pipeline'
import { type BundleFile, mistakesOf, type Release, release } from '@godwit/protocol/release/release'
import type { Read } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import type { Blobs } from '../blobs/blobs.ts'
import { misfitsOfFeatureFiles } from './features-fit.ts'
import { misfitsOfGolden, misfitsOfPipeline } from './golden-fit.ts'
import { misfitsOfVariant } from './io-fit.ts'
import { inspectOnnx } from './onnx-file.ts'

/** `pointer` is a JSON pointer into the release document, where the mistake has a place there. */
export type PublishMistake = { pointer?: string; detail: string }
export type PublishVerdict =
  | { published: true; model: string; version: string; releaseDigest: string; created: boolean }
  | { published: false; because: 'not-valid' | 'version-exists'; mistakes: PublishMistake[] }

export type PublishLimits = {
  /** Largest model file that is opened, in bytes. */
  onnxBytesMax: number
}

/** JSON parts are read whole; a golden file of this size holds millions of numbers. */
const partBytesMax = 64 * 2 ** 20

/** The release that these bytes are, or every reason why they are none. Looks at the document alone. */
export function readRelease(
  bytes: Uint8Array,
): { ok: true; release: Release } | { ok: false; mistakes: PublishMistake[] } {
  if (bytes.length > releaseBytesMax) {
    return notValid(`the release document has ${bytes.length} bytes, at most ${releaseBytesMax}`)
  }
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return notValid(`the release document is no JSON: ${parsed.detail}`)
  const read = release.check(parsed.value)
  if (!read.ok) return notValid(read.detail)
  const mistakes = mistakesOf(read.value).map((detail) => ({ detail }))
  return mistakes.length === 0 ? { ok: true, release: read.value } : { ok: false, mistakes }
}

/** May this version enter? Every mistake, found by reading what was uploaded; empty when it may. */
export async function mistakesOfBundle(
  document: Release,
  blobs: Blobs,
  limits: PublishLimits,
): Promise<PublishMistake[]> {
  const missing = await mistakesOfFiles(document, blobs)
  // The rest could only repeat that the files are not there.
  if (missing.length > 0) return missing
  return [
    ...(await mistakesOfPart(document, 'golden', blobs, (value) => golden.check(value), misfitsOfGolden)),
    ...(await mistakesOfPart(
      document,
      'pipeline',
      blobs,
      (value) => pipeline.check(value),
      misfitsOfPipeline,
    )),
    ...(await misfitsOfFeatureFiles(document, blobs, { partBytesMax, ...limits })).map((detail) => ({
      pointer: '#/pipeline',
      detail: `${document.pipeline}: ${detail}`,
    })),
    ...(await mistakesOfPart(document, 'profile', blobs, readProfile, () => [])),
    ...(await mistakesOfVariants(document, blobs, limits)),
  ]
}

async function mistakesOfFiles({ files }: Release, blobs: Blobs): Promise<PublishMistake[]> {
  const mistakes: PublishMistake[] = []
  for (const [path, file] of Object.entries(files)) {
    const flaw = await flawOfFile(file, blobs)
    if (flaw) mistakes.push({ pointer: pointerTo('files', path), detail: `${path} ${flaw}` })
  }
  return mistakes
}

/** A wrong block list would pass here unnoticed and make every device refuse what it downloads. */
async function flawOfFile(file: BundleFile, blobs: Blobs): Promise<string | undefined> {
  const size = await blobs.sizeOf(file.sha256)
  if (size === undefined) return `was not uploaded: expected a blob with SHA-256 ${file.sha256}`
  if (size !== file.sizeBytes) return `has ${size} bytes, the release says ${file.sizeBytes}`
  for (const [index, expected] of file.blocks.entries()) {
    const block = await blobs.readBlock(file.sha256, blockRange(file, index))
    const found = block && createHash('sha256').update(block).digest('hex')
    if (found !== expected)
      return `block ${index} has SHA-256 ${found ?? 'of nothing'}, the release says ${expected}`
  }
  return undefined
}

async function mistakesOfPart<T>(
  document: Release,
  part: 'golden' | 'pipeline' | 'profile',
  blobs: Blobs,
  check: (value: unknown) => Read<T>,
  misfits: (value: T, io: Release['io']) => string[],
): Promise<PublishMistake[]> {
  const path = document[part]
  if (path === undefined) return []
  const at = (detail: string) => ({ pointer: `#/${part}`, detail: `${path}: ${detail}` })
  const { sha256, sizeBytes } = document.files[path]!
  if (sizeBytes > partBytesMax) return [at(`has ${sizeBytes} bytes, at most ${partBytesMax}`)]
  const bytes = await blobs.read(sha256, partBytesMax)
  const parsed = parseStrict(bytes!)
  if (!parsed.ok) return [at(`is no JSON: ${parsed.detail}`)]
  const read = check(parsed.value)
  return read.ok ? misfits(read.value, document.io).map(at) : [at(read.detail)]
}

async function mistakesOfVariants(document: Release, blobs: Blobs, { onnxBytesMax }: PublishLimits) {
  const mistakes: PublishMistake[] = []
  for (const [i, { name, file }] of document.variants.entries()) {
    const at = (detail: string) => ({ pointer: `#/variants/${i}`, detail: `variant ${name}: ${detail}` })
    const { sha256, sizeBytes } = document.files[file]!
    if (sizeBytes > onnxBytesMax) {
      mistakes.push(at(`${file} has ${sizeBytes} bytes, this hub opens at most ${onnxBytesMax}`))
      continue
    }
    const verdict = inspectOnnx((await blobs.read(sha256, onnxBytesMax))!)
    if (!verdict.ok) mistakes.push(at(`${file} ${verdict.detail}`))
    else mistakes.push(...misfitsOfVariant(verdict.value, document).map(at))
  }
  return mistakes
}

function notValid(detail: string): { ok: false; mistakes: PublishMistake[] } {
  return { ok: false, mistakes: [{ detail }] }
}

/** RFC 6901 in a URI fragment, as RFC 9457 shows it. */
function pointerTo(...path: string[]): string {
  return `#/${path.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`
}
