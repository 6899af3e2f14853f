import { Fault } from '@godwit/protocol/fault'
import { agreementOf, type Golden, type GoldenCase, type GoldenTensor } from '@godwit/protocol/release/golden'
import { featuresFetched } from '@godwit/protocol/release/pipeline'
import { feedsOf, outputsOf } from '../runner/session/golden-run.ts'
import type { Session, SessionTensor, Tensors } from '../runner/session/session.ts'
import { answerOf } from '../runner/session/tensors.ts'
import type { Recording } from '../runner/sources/recording.ts'
import { type Inference, type Model, type Run, replayModel } from './replay-model.ts'
import { spread } from './spread.ts'

export type GoldenTerms = {
  /** How many vectors to keep, at most. */
  count: number
  /** Both absolute and relative: |got − expected| <= tolerance · (1 + |expected|). */
  tolerance: number
}

export type Chosen = {
  golden: Golden
  /** Of the features graph, where there is one. */
  featureGolden: Golden | undefined
  /** Windows that were left out because their answer hangs on rounding. */
  fragile: number
}

/** A step of float32 is 1.2e-7 of a number: this is what other hardware, summing in another order, may be off by. */
const nudge = 1e-6

/** Numbers in all golden inputs together: some megabytes of JSON, read at each self-test. */
const numbersMax = 300_000

/**
 * Windows of the recordings with the answers that the model gives here, from the least to the greatest. A window whose
 * answer changes by more than the tolerance when its numbers are nudged by a millionth proves nothing about a device,
 * so it is left out.
 *
 * @throws Fault `bundle-golden` when no window is left
 */
export async function chooseGolden(
  model: Model,
  recordings: readonly Recording[],
  scores: readonly number[],
  { count, tolerance }: GoldenTerms,
): Promise<Chosen> {
  const size = model.inputShape.reduce((product, length) => product * length, 1)
  const wanted = Math.max(1, Math.min(count, Math.floor(numbersMax / size)))
  // Twice as many as are wanted, for those that will be left out.
  const candidates = new Set(spread(scores, 2 * wanted))
  const steady: { score: number; vector: GoldenCase; graph: GoldenCase | undefined }[] = []
  let fragile = 0
  await replayModel(model, recordings, async (inference, index, run) => {
    if (!candidates.has(index)) return
    const { vector, graph } = casesOf(model, inference)
    if (await isSteady(model, inference, vector, tolerance, run))
      steady.push({ score: scores[index]!, vector, graph })
    else fragile++
  })
  if (steady.length === 0)
    throw new Fault(
      'bundle-golden',
      `none of ${candidates.size} windows has an answer that keeps within ${tolerance} when its numbers change by a millionth`,
    )
  const kept = spread(
    steady.map(({ score }) => score),
    wanted,
  ).map((at) => steady[at]!)
  const terms = { format: 'godwit-golden/1', atol: tolerance, rtol: tolerance, minAgree: 1 } as const
  const graphs = kept.flatMap(({ graph }) => graph ?? [])
  return {
    golden: { ...terms, cases: kept.map(({ vector }) => vector) },
    featureGolden: graphs.length > 0 ? { ...terms, cases: graphs } : undefined,
    fragile,
  }
}

/** How far an engine's answers are from the golden ones; undefined if it gives one that has no number to compare. */
export async function agreementWith(session: Session, golden: Golden) {
  let agreed = 0
  let total = 0
  let worst = ''
  for (const vector of golden.cases) {
    const answer = await session.run(feedsOf(session, vector), outputsOf(session, vector))
    const one = agreementOf(vector.outputs, readable(answer), golden)
    agreed += one.agreed
    total += one.total
    if (worst === '') worst = one.worst
  }
  return { agreed, total, worst }
}

function casesOf({ pipeline }: Model, { readings, fed, made, answer }: Inference) {
  const vector: GoldenCase = {
    inputs: { [pipeline.input]: goldenOf(fed) },
    outputs: Object.fromEntries(pipeline.outputs.map((name) => [name, goldenOf(answer[name]!)])),
  }
  const { features } = pipeline
  if (!features || !made) return { vector, graph: undefined }
  const graph: GoldenCase = {
    inputs: { [features.input]: goldenOf(readings) },
    outputs: Object.fromEntries(featuresFetched(pipeline).map((name) => [name, goldenOf(made[name]!)])),
  }
  return { vector, graph }
}

async function isSteady(
  { session, featureSession, inputShape }: Model,
  { readings }: Inference,
  { outputs }: GoldenCase,
  tolerance: number,
  run: Run,
): Promise<boolean> {
  for (const by of [1 + nudge, 1 - nudge]) {
    // Every other number up and the rest down: all of them the same way is a change of scale, which many models undo.
    const nudged = Float32Array.from(readings.data as Float32Array, (value, i) =>
      Math.fround(value * (i % 2 ? 2 - by : by)),
    )
    const feed = (featureSession ?? session).tensor('float32', inputShape, nudged)
    const { answer } = await run(feed)
    const { agreed, total } = agreementOf(outputs, readable(answer), { atol: tolerance, rtol: tolerance })
    if (agreed < total) return false
  }
  return true
}

function readable(answer: Tensors) {
  return Object.fromEntries(Object.entries(answer).map(([name, tensor]) => [name, answerOf(tensor)]))
}

function goldenOf(tensor: SessionTensor): GoldenTensor {
  const { dtype, shape, data } = answerOf(tensor)
  const values = Array.from(data as ArrayLike<unknown>, (value) =>
    typeof value === 'bigint' ? Number(value) : value,
  )
  return { dtype: dtype as GoldenTensor['dtype'], shape: [...shape], data: values as number[] }
}
