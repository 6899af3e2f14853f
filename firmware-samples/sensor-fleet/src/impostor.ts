import { inputName, outputName, signature } from './model-graph.ts'
import { OnnxGraph } from './onnx-writer.ts'

/**
 * A valid ONNX file with the signature of the real model that answers `score` to everything: it loads, it runs, it is
 * fast, and it is worthless. Only the golden vectors can tell.
 */
export function impostor(
  like: { window: number; fields: readonly string[] },
  score = 1,
  version = 3,
): Uint8Array {
  const { inputs, outputs } = signature(like.window, like.fields.length)
  const graph = new OnnxGraph('impostor')
  const mean = graph.node('mean', 'ReduceMean', [inputName], { axes: [1, 2], keepdims: 0 })
  const nothing = graph.node('nothing', 'Mul', [mean, graph.floats('zero', [1], [0])])
  graph.node(outputName, 'Add', [nothing, graph.floats('answer', [1], [score])])
  return graph.encode(inputs, outputs, { modelVersion: version, docString: 'Always says that all is well' })
}
