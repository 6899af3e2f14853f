import type { Golden } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { type AnomalyModel, scoreWindow } from './anomaly-model.ts'
import { cardFor } from './card.ts'
import { type Detection, evaluate } from './evaluate.ts'
import { fitModel } from './fit.ts'
import { goldenFor } from './golden.ts'
import { encodeModel, inputName, outputName } from './model-graph.ts'
import { fields, type Mote } from './motes.ts'
import { thresholdFrom } from './threshold.ts'
import { windowsOf } from './windows.ts'

/** Readings in a window: the newest, and three before it for the steps. 20 seconds of weather. */
export const windowLength = 4

/** Everything about a version that goes into its bundle, and what the trainer knows about it. */
export type TrainedVersion = {
  model: AnomalyModel
  onnx: Uint8Array
  pipeline: Pipeline
  golden: Golden
  /** Per monitored name one stream per training mote, in time order: what the reference profile is built from. */
  profileFeatures: Record<string, number[][]>
  threshold: number
  /** Markdown. */
  card: string
  metrics: { trainingWindows: number; regimes: number; detections: Detection[] }
}

/**
 * Trains a version on whole recordings, events included: labels are used only to count afterwards what was found.
 * The same motes and version number give the same bytes, on any machine.
 */
export function trainVersion(motes: readonly Mote[], version: number): TrainedVersion {
  const windows = motes.map((mote) => windowsOf(mote.readings, windowLength))
  const model = fitModel(windows.flat(), windowLength, fields.length)
  const scores = windows.map((stream) => stream.map((window) => scoreWindow(model, window).score))
  const threshold = thresholdFrom(scores.flat())
  const detections = motes.map((mote, i) => evaluate(mote, scores[i]!, threshold))
  const metrics = { trainingWindows: scores.flat().length, regimes: model.regimes.length, detections }
  return {
    model,
    onnx: encodeModel(model, version),
    pipeline: pipelineFor(threshold),
    golden: goldenFor(model, windows.flat()),
    profileFeatures: monitoredStreams(scores),
    threshold,
    card: cardFor({ version, motes, threshold, metrics }),
    metrics,
  }
}

/** Scores of a whole recording under a model, in time order from reading `window - 1` on. */
export function scoresOf(model: AnomalyModel, mote: Mote): number[] {
  return windowsOf(mote.readings, model.window).map((window) => scoreWindow(model, window).score)
}

/**
 * The monitored streams of each mote. Only the score: it stays steady over six hours in which everything else moves.
 * Levels wander all day. Humidity steps repeat more often indoors (the sensor's grid of 0.03 % is coarser than the
 * air is lively), and temperature steps of mote 4 are lively for half the recording: both raise alarms on motes that
 * the model knows well.
 */
export function monitoredStreams(scores: readonly number[][]): Record<string, number[][]> {
  return { [outputName]: scores.map((stream) => stream.map(Math.fround)) }
}

/** The same streams as a profile is built from: one record per mote. */
export function streamsOf(features: Record<string, number[][]>): Record<string, number[]>[] {
  const names = Object.keys(features)
  const first = features[names[0]!] ?? []
  return first.map((_, m) => Object.fromEntries(names.map((name) => [name, features[name]![m]!])))
}

function pipelineFor(threshold: number): Pipeline {
  return {
    format: 'godwit-pipeline/1',
    fields: [...fields],
    window: windowLength,
    input: inputName,
    outputs: [outputName],
    decision: { output: outputName, above: threshold },
    monitor: [{ name: outputName, of: { output: outputName } }],
  }
}
