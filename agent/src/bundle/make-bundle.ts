import { createHash, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { buildCertifiedProfile } from '@godwit/protocol/drift/build-profile'
import type { Profile } from '@godwit/protocol/drift/profile'
import { Fault } from '@godwit/protocol/fault'
import { type Pipeline, pipeline as pipelineDocument } from '@godwit/protocol/release/pipeline'
import type { Outcome } from '../runner/outcome.ts'
import { fieldsUsedBy } from '../runner/pipeline/monitors.ts'
import { openNative } from '../runner/session/native.ts'
import type { Session } from '../runner/session/session.ts'
import { feedShape, pipelineMisfits } from '../runner/session/signature.ts'
import { openWasm } from '../runner/session/wasm.ts'
import { readRecording } from '../runner/sources/recording.ts'
import { cardFor } from './card.ts'
import { numericColumns } from './columns.ts'
import { draftPipeline, type PipelineTerms } from './draft-pipeline.ts'
import { agreementWith, type Chosen, chooseGolden, type GoldenTerms } from './golden-cases.ts'
import { type Model, type Replayed, replayModel } from './replay-model.ts'
import { quantilesOf } from './spread.ts'

export type BundleOrder = {
  model: string
  /** Recordings of devices, each in time order. */
  readings: readonly string[]
  out: string
  /** A pipeline that somebody wrote, with its features graph beside it; else one is drafted from `terms`. */
  pipeline?: string | undefined
  terms: Omit<PipelineTerms, 'fields'> & { fields?: readonly string[] | undefined }
  golden: GoldenTerms
}

/** What was made, for the person who publishes it. */
export type Made = {
  bundle: string
  window: number
  fields: readonly string[]
  readings: number
  incompleteReadings: number
  inferences: number
  /** Of the first output, or the one that decides: where `--above` may lie. */
  answers: { p50: number; p90: number; p99: number; p999: number; max: number }
  golden: { vectors: number; leftOut: number; tolerance: number }
  /** What onnxruntime-web, which sums in another order, says to the same vectors. */
  otherEngine: string
  profile: { windowSize: number; windows: number; certified: Record<string, boolean> } | { none: string }
}

/** Enough to see a tail, and readable. */
const quantiles = [0.5, 0.9, 0.99, 0.999, 1]

/**
 * Makes a bundle of a model and what devices have read: runs it over the recordings as a device would, keeps windows
 * with their answers as golden vectors, and builds the reference profile of what is monitored. The directory appears
 * whole or not at all.
 *
 * The answers are this runtime's. They prove that a device computes what this machine computed, not that it is right.
 *
 * @throws Fault when it cannot be made, saying what does not fit
 */
export async function makeBundle(order: BundleOrder): Promise<Made> {
  const out = resolve(order.out)
  if (existsSync(out))
    throw new Fault('bundle-exists', `${out} exists; a bundle is made into a new directory`)
  const session = await opened(order.model, openNative(order.model, ['cpu'], 1))
  const texts = order.readings.map((path) => ({ path, text: textOf(path) }))
  const pipeline = order.pipeline
    ? writtenPipeline(order.pipeline)
    : draftPipeline(session, termsOf(order, texts))
  const features = await openFeatures(order, pipeline)
  const model = modelOf(session, features?.session, pipeline)
  const recordings = texts.map(({ path, text }) => readRecording(text, fieldsUsedBy(pipeline), path))
  const replayed = await replayModel(model, recordings)
  if (replayed.scores.length === 0)
    throw new Fault(
      'bundle-readings',
      `no window of ${pipeline.window} whole readings in ${order.readings.join(', ')}: nothing to ask the model`,
    )
  const chosen = await chooseGolden(model, recordings, replayed.scores, order.golden)
  const profile = profileOf(replayed)
  const made = describe(order, { out, pipeline, replayed, chosen, profile, recordings })
  made.otherEngine = await otherEngine(order.model, chosen)
  await session.release()
  await features?.session.release()
  write(out, order, { pipeline, chosen, profile, features: features?.path, made })
  return made
}

function termsOf(
  { model, terms }: BundleOrder,
  texts: readonly { path: string; text: string }[],
): PipelineTerms {
  if (terms.fields) return { ...terms, fields: terms.fields }
  const [first] = texts
  const fields = numericColumns(first!.text, first!.path)
  if (fields.length > 0) return { ...terms, fields }
  throw new Fault(
    'bundle-fields',
    `${first!.path} has no column of numbers to feed ${model} with: give --fields`,
  )
}

function writtenPipeline(path: string): Pipeline {
  let value: unknown
  try {
    value = JSON.parse(textOf(path))
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('bundle-pipeline', `${path} is no JSON`, { cause })
  }
  const read = pipelineDocument.check(value)
  if (!read.ok) throw new Fault('bundle-pipeline', `${path}: ${read.detail}`)
  return read.value
}

async function openFeatures(order: BundleOrder, { features }: Pipeline) {
  if (!features) return undefined
  const path = join(dirname(order.pipeline!), features.file)
  return { path, session: await opened(path, openNative(path, ['cpu'], 1)) }
}

function modelOf(session: Session, featureSession: Session | undefined, pipeline: Pipeline): Model {
  const promised = { inputs: [...session.inputs], outputs: [...session.outputs] }
  const misfits = pipelineMisfits(pipeline, promised, session, featureSession)
  if (misfits.length > 0) throw new Fault('bundle-pipeline', misfits.join('; '))
  const inputShape = feedShape(pipeline, featureSession?.inputs ?? session.inputs)
  return { session, featureSession, pipeline, inputShape }
}

function profileOf({ streams }: Replayed): Profile | { none: string } {
  if (Object.keys(streams[0]!).length === 0) return { none: 'nothing is monitored' }
  try {
    return buildCertifiedProfile(streams)
  } catch (error) {
    if (error instanceof Fault && error.code === 'drift-reference-too-short') return { none: error.message }
    throw error
  }
}

/** A second opinion on the tolerance: engines differ by what hardware may differ. */
async function otherEngine(path: string, { golden }: Chosen): Promise<string> {
  const web = await openWasm(path, ['wasm'], 1)
  if (!web.ok) return `does not run it: ${web.detail}`
  try {
    const { agreed, total, worst } = await agreementWith(web.value, golden)
    if (agreed === total) return `agrees with all ${total} numbers`
    return `agrees with ${agreed} of ${total} numbers only; ${worst}: a device that runs it would refuse the release`
  } finally {
    await web.value.release()
  }
}

type Parts = {
  out: string
  pipeline: Pipeline
  replayed: Replayed
  chosen: Chosen
  profile: Profile | { none: string }
  recordings: readonly { length: number }[]
}

function describe({ golden: { tolerance } }: BundleOrder, parts: Parts): Made {
  const { out, pipeline, replayed, chosen, profile, recordings } = parts
  const [p50, p90, p99, p999, max] = quantilesOf(replayed.scores, quantiles) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return {
    bundle: out,
    window: pipeline.window,
    fields: pipeline.fields,
    readings: recordings.reduce((sum, { length }) => sum + length, 0),
    incompleteReadings: replayed.incomplete,
    inferences: replayed.scores.length,
    answers: { p50, p90, p99, p999, max },
    golden: { vectors: chosen.golden.cases.length, leftOut: chosen.fragile, tolerance },
    otherEngine: '',
    profile:
      'none' in profile
        ? profile
        : {
            windowSize: profile.windowSize,
            windows: profile.windows,
            certified: Object.fromEntries(
              profile.features.map(({ name, certification }) => [name, certification.certified]),
            ),
          },
  }
}

type Written = Pick<Parts, 'pipeline' | 'chosen' | 'profile'> & { features: string | undefined; made: Made }

/** Beside its place first, and there by one rename: half a bundle is none. */
function write(
  out: string,
  order: BundleOrder,
  { pipeline, chosen, profile, features, made }: Written,
): void {
  mkdirSync(dirname(out), { recursive: true })
  const draft = join(dirname(out), `.${basename(out)}-${randomUUID().slice(0, 8)}`)
  mkdirSync(draft)
  const put = (name: string, value: unknown) => {
    mkdirSync(dirname(join(draft, name)), { recursive: true })
    writeFileSync(join(draft, name), `${JSON.stringify(value)}\n`)
  }
  try {
    cpSync(order.model, join(draft, 'model.onnx'))
    put('pipeline.json', pipeline)
    put('golden.json', chosen.golden)
    if (!('none' in profile)) put('profile.json', profile)
    if (pipeline.features && features) {
      mkdirSync(dirname(join(draft, pipeline.features.file)), { recursive: true })
      cpSync(features, join(draft, pipeline.features.file))
      put(pipeline.features.golden, chosen.featureGolden)
    }
    const sha256 = createHash('sha256').update(readFileSync(order.model)).digest('hex')
    writeFileSync(
      join(draft, 'README.md'),
      cardFor(made, { sha256, recordings: order.readings.map((path) => basename(path)) }),
    )
    renameSync(draft, out)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    throw error
  }
}

async function opened(path: string, opening: Promise<Outcome<Session>>): Promise<Session> {
  if (!existsSync(path)) throw new Fault('bundle-model', `there is no model ${path}`)
  const session = await opening
  if (!session.ok) throw new Fault('bundle-model', `${path} does not load: ${session.detail}`)
  return session.value
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Fault('bundle-readings', `cannot read ${path}: ${(cause as Error).message}`, { cause })
  }
}
