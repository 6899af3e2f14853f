import { type AnomalyModel, featureCount } from './anomaly-model.ts'
import { OnnxGraph, type Value } from './onnx-writer.ts'

export const inputName = 'readings'
export const outputName = 'score'

/** What device and hub see of the model: the same for every version, the impostor included. */
export function signature(window: number, width: number): { inputs: Value[]; outputs: Value[] } {
  return {
    inputs: [{ name: inputName, shape: ['N', window, width] }],
    outputs: [{ name: outputName, shape: ['N'] }],
  }
}

/** The whole model as ONNX: raw readings in, score out. Standardising and differences happen inside. */
export function encodeModel(model: AnomalyModel, version: number): Uint8Array {
  const width = model.levelCentre.length
  const graph = new OnnxGraph('anomaly-score')
  const features = addFeatures(graph, model)
  addScore(graph, model, features)
  const { inputs, outputs } = signature(model.window, width)
  return graph.encode(inputs, outputs, { modelVersion: version, docString: 'Distance from ordinary weather' })
}

/** Differences are taken before any scaling: two float32 readings close together subtract without error. */
function addFeatures(graph: OnnxGraph, model: AnomalyModel): string {
  const width = model.levelCentre.length
  const axis = graph.integers('timeAxis', [1])
  const first = graph.integers('firstReading', [0])
  const second = graph.integers('secondReading', [1])
  const last = graph.integers('lastReading', [model.window - 1])
  const end = graph.integers('end', [model.window])
  const level = graph.node('level', 'Slice', [inputName, last, end, axis])
  const newer = graph.node('newer', 'Slice', [inputName, second, end, axis])
  const older = graph.node('older', 'Slice', [inputName, first, last, axis])
  const centred = graph.node('centredLevel', 'Sub', [
    level,
    graph.floats('levelCentre', [width], model.levelCentre),
  ])
  const levels = graph.node('levels', 'Div', [centred, graph.floats('levelScale', [width], model.levelScale)])
  const step = graph.node('step', 'Sub', [newer, older])
  const steps = graph.node('steps', 'Div', [step, graph.floats('stepScale', [width], model.stepScale)])
  const stacked = graph.node('stacked', 'Concat', [levels, steps], { axis: 1 })
  return graph.node('features', 'Flatten', [stacked], { axis: 1 })
}

/** All regimes at once: one matrix product whitens for each of them, and a one-hot row picks the best one's distance. */
function addScore(graph: OnnxGraph, { regimes, ...model }: AnomalyModel, features: string): void {
  const d = featureCount(model)
  const count = regimes.length
  const whiteners = graph.floats(
    'whiteners',
    [count * d, d],
    regimes.flatMap((r) => [...r.whitener]),
  )
  const offsets = graph.floats(
    'offsets',
    [count * d],
    regimes.flatMap((r) => Array.from(r.offset, (x) => -x)),
  )
  const white = graph.node('white', 'Gemm', [features, whiteners, offsets], { transB: 1 })
  const perRegime = graph.node('whitePerRegime', 'Reshape', [
    white,
    graph.integers('perRegimeShape', [-1, count, d]),
  ])
  const squared = graph.node('squared', 'Mul', [perRegime, perRegime])
  const meanSquares = graph.node('meanSquares', 'ReduceMean', [squared], { axes: [2], keepdims: 0 })

  const volumes = graph.floats(
    'logVolumes',
    [count],
    regimes.map((r) => r.logVolume),
  )
  const surprise = graph.node('surprise', 'Add', [meanSquares, volumes])
  const chosen = graph.node('chosenRegime', 'ArgMin', [surprise], { axis: 1, keepdims: 0 })
  const depth = graph.integers('regimeCount', [count], [])
  const mask = graph.node('mask', 'OneHot', [chosen, depth, graph.floats('offOn', [2], [0, 1])], { axis: 1 })

  const distances = graph.node('distances', 'Sqrt', [meanSquares])
  const relative = graph.node('relative', 'Div', [
    distances,
    graph.floats(
      'radii',
      [count],
      regimes.map((r) => r.radius),
    ),
  ])
  const masked = graph.node('masked', 'Mul', [relative, mask])
  graph.node(outputName, 'ReduceSum', [masked, graph.integers('regimeAxis', [1])], { keepdims: 0 })
}
