import { join } from 'node:path'
import type { GoldenCase } from '@godwit/protocol/release/golden'
import { type Parts, readParts } from './bundle.ts'
import { unmonitored } from './drift-watch.ts'
import type { ToRunner } from './messages.ts'
import { type Outcome, refuse } from './outcome.ts'
import { digestOf } from './session/digest.ts'
import type { Session } from './session/session.ts'
import { pipelineMisfits, signatureMisfits } from './session/signature.ts'

export type LoadOrder = Extract<ToRunner, { type: 'load' }>
export type OpenSession = (
  path: string,
  providers: readonly string[],
  threads: number,
  /** Shows where a model runs; it need not answer right. */
  sample: GoldenCase,
) => Promise<Outcome<Session>>

/** A release that is in memory and fits together; whether it answers right is the self-test's question. */
export type Loaded = Parts & {
  order: LoadOrder
  session: Session
  /** Of the pipeline's features graph, if it has one. */
  featureSession: Session | undefined
  loadedDigest: string
}

export async function loadRelease(order: LoadOrder, open: OpenSession): Promise<Outcome<Loaded>> {
  const parts = await readParts(order)
  if (!parts.ok) return parts
  const path = join(order.directory, order.variant.file)
  // The last look at the file before the runtime takes it: this digest is what the report will claim.
  const loadedDigest = await digestOf(path)
  if (loadedDigest !== order.modelFile.sha256) {
    return refuse(
      'integrity',
      `${order.variant.file} has SHA-256 ${loadedDigest}, expected ${order.modelFile.sha256}`,
    )
  }
  const session = await open(path, order.executionProviders, order.threads, parts.value.golden.cases[0]!)
  if (!session.ok) return session
  const graph = await openFeatures(order, parts.value, open)
  if (graph && !graph.ok) return graph
  const featureSession = graph?.value
  const misfits = misfitsOf(order, parts.value, session.value, featureSession)
  if (misfits) return misfits
  return { ok: true, value: { ...parts.value, order, session: session.value, featureSession, loadedDigest } }
}

/** On the same engine as the model, which takes what it answers. */
async function openFeatures(
  order: LoadOrder,
  { pipeline: { features }, featureGolden }: Parts,
  open: OpenSession,
): Promise<Outcome<Session> | undefined> {
  if (!features || !featureGolden) return undefined
  const expected = order.digests?.[features.file]
  if (expected === undefined) return refuse('malformed', `features: no file ${features.file} in the bundle`)
  const path = join(order.directory, features.file)
  const found = await digestOf(path)
  if (found !== expected) {
    return refuse('integrity', `${features.file} has SHA-256 ${found}, expected ${expected}`)
  }
  return open(path, order.executionProviders, order.threads, featureGolden.cases[0]!)
}

function misfitsOf(
  { io }: LoadOrder,
  { pipeline, profile }: Parts,
  session: Session,
  graph: Session | undefined,
) {
  const misfits = [...signatureMisfits(io, session), ...pipelineMisfits(pipeline, io, session, graph)]
  if (misfits.length > 0) return refuse('io_schema_mismatch', misfits.join('; '))
  const features = profile ? unmonitored(pipeline, profile) : []
  if (features.length > 0)
    return refuse('malformed', `no monitor feeds the profile's features ${features.join(', ')}`)
  return undefined
}
