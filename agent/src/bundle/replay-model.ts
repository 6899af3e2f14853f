import type { ReferenceStream } from '@godwit/protocol/drift/build-profile'
import { Fault } from '@godwit/protocol/fault'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { decisiveValue } from '../runner/pipeline/decision.ts'
import { FeatureStep } from '../runner/pipeline/feature-step.ts'
import { Monitors } from '../runner/pipeline/monitors.ts'
import { Ring } from '../runner/pipeline/ring.ts'
import type { Session, SessionTensor, Tensors } from '../runner/session/session.ts'
import type { Recording } from '../runner/sources/recording.ts'

export type Model = {
  session: Session
  featureSession?: Session | undefined
  pipeline: Pipeline
  /** Of the tensor of readings. */
  inputShape: readonly number[]
}

/** One inference of a replay, valid until the next: its tensors lie in memory that is used again. */
export type Inference = {
  /** What the features graph took, or the model if there is none. */
  readings: SessionTensor
  /** What the model took. */
  fed: SessionTensor
  made: Tensors | undefined
  answer: Tensors
}

/** @param feed the tensor to run in the place of the readings */
export type Run = (feed: SessionTensor) => Promise<Inference>

export type Replayed = {
  /** The decisive number of each inference: the largest element of the first output. */
  scores: number[]
  /** Per recording the monitored numbers in time order, as the drift counters of a device would see them. */
  streams: ReferenceStream[]
  /** Readings with a field that is no number. */
  incomplete: number
}

/**
 * Plays recordings to a model as a device plays readings to it: the same ring, features graph and monitors, in the same
 * order. A reference profile of the streams therefore counts what devices will count.
 *
 * @param onInference what else to do with one, by its number from 0
 * @throws Fault `bundle-answer` when an answer is no finite number
 */
export async function replayModel(
  model: Model,
  recordings: readonly Recording[],
  onInference: (inference: Inference, index: number, run: Run) => Promise<void> = async () => {},
): Promise<Replayed> {
  const { pipeline, session } = model
  const names = pipeline.monitor.map(({ name }) => name)
  const ring = new Ring(pipeline.fields, pipeline.window)
  const monitors = new Monitors(pipeline, names)
  const taker = model.featureSession ?? session
  const readings = taker.tensor('float32', model.inputShape, ring.data)
  const run = runOf(model)
  const stride = pipeline.stride ?? 1
  const scores: number[] = []
  let incomplete = 0

  async function one(recording: Recording): Promise<ReferenceStream> {
    const columns = names.map((): number[] => [])
    const keep = (values: ArrayLike<number>) => {
      for (const [m, column] of columns.entries()) column.push(values[m]!)
    }
    let untilInference = 0
    ring.clear()
    monitors.forget()
    for (let row = 0; row < recording.length; row++) {
      const values: Record<string, number> = {}
      for (const [field, column] of recording.columns) values[field] = column[row]!
      const isWhole = ring.push(row, values)
      if (!isWhole) incomplete++
      if (!isWhole && ring.isFull) keep(monitors.read(values, undefined))
      if (isWhole && ring.isFull && untilInference-- === 0) {
        untilInference = stride - 1
        const inference = await run(readings)
        scores.push(scoreOf(inference.answer, pipeline, scores.length))
        keep(monitors.read(values, inference.answer, inference.made))
        await onInference(inference, scores.length - 1, run)
      }
      monitors.remember(values)
    }
    return Object.fromEntries(names.map((name, m) => [name, columns[m]!]))
  }

  const streams: ReferenceStream[] = []
  for (const recording of recordings) streams.push(await one(recording))
  return { scores, streams, incomplete }
}

function runOf({ session, featureSession, pipeline }: Model): Run {
  const { features, input, outputs } = pipeline
  return async (readings) => {
    if (!features || !featureSession) {
      const answer = await session.run({ [input]: readings }, outputs)
      return { readings, fed: readings, made: undefined, answer }
    }
    const { fed, made } = await new FeatureStep(featureSession, features, pipeline, readings).run()
    return { readings, fed, made, answer: await session.run({ [input]: fed }, outputs) }
  }
}

function scoreOf(answer: Tensors, { outputs, decision }: Pipeline, index: number): number {
  const name = decision?.output ?? outputs[0]!
  const value = decisiveValue(answer[name]!)
  if (Number.isFinite(value)) return value
  throw new Fault('bundle-answer', `inference ${index}: output ${name} is ${value}, expected a finite number`)
}
