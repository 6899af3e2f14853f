import { featuresFetched, type Pipeline } from '@godwit/protocol/release/pipeline'
import type { Release, TensorInfo } from '@godwit/protocol/release/release'
import type { Session } from './session.ts'

type Io = Pick<Session, 'inputs' | 'outputs'>

/** How the loaded model differs from what the release promises; empty when it does not. */
export function signatureMisfits(promised: Release['io'], model: Io): string[] {
  return [
    ...misfits('input', promised.inputs, model.inputs),
    ...misfits('output', promised.outputs, model.outputs),
  ]
}

/**
 * The shape of the tensor of readings (SPEC 4.6). A model, or a features graph, that looks at one reading at a time may
 * do without the axis of readings: the bytes are the same.
 *
 * @param inputs what takes the readings: the features graph's, or what the release promises the model to take
 */
export function feedShape(
  { input, features, window, fields }: Pipeline,
  inputs: readonly TensorInfo[],
): number[] {
  const taker = features ? features.input : input
  const rank = inputs.find(({ name }) => name === taker)?.shape.length
  return window === 1 && rank === 2 ? [1, fields.length] : [1, window, fields.length]
}

/** Why a pipeline cannot drive a model; empty when it can. It feeds one tensor, of readings or of features. */
export function pipelineMisfits(
  pipeline: Pipeline,
  promised: Release['io'],
  model: Io,
  graph?: Io,
): string[] {
  const readings = (name: string, taker: readonly TensorInfo[]): TensorInfo => {
    return { name, dtype: 'float32', shape: feedShape(pipeline, taker) }
  }
  const { features } = pipeline
  const made = graph?.outputs.find(({ name }) => name === features?.output)
  const graphMisfits =
    features && graph ? misfitsOfGraph(pipeline, readings(features.input, graph.inputs), graph) : []
  const fed = features ? made && { ...made, name: pipeline.input } : readings(pipeline.input, promised.inputs)
  const fetched = [...pipeline.outputs]
  const wanted = pipeline.monitor.flatMap(({ of }) => ('output' in of ? [of.output] : []))
  if (pipeline.decision) wanted.push(pipeline.decision.output)
  return [
    ...graphMisfits,
    ...(fed ? misfits('pipeline: input', [fed], model.inputs) : []),
    ...fetched
      .filter((name) => !has(model.outputs, name))
      .map((name) => `pipeline: the model has no output ${name}`),
    ...wanted
      .filter((name) => !fetched.includes(name))
      .map((name) => `pipeline: output ${name} is not fetched`),
  ]
}

function misfitsOfGraph(pipeline: Pipeline, readings: TensorInfo, graph: Io): string[] {
  return [
    ...misfits('features: input', [readings], graph.inputs),
    ...featuresFetched(pipeline)
      .filter((name) => !has(graph.outputs, name))
      .map((name) => `features: the graph has no output ${name}`),
  ]
}

function misfits(what: string, expected: readonly TensorInfo[], found: readonly TensorInfo[]): string[] {
  const unexpected = found.filter(({ name }) => !has(expected, name))
  return [
    ...unexpected.map((tensor) => `${what} ${textOf(tensor)} is not expected`),
    ...expected.flatMap((want) => {
      const got = found.find(({ name }) => name === want.name)
      if (!got) return [`${what} ${textOf(want)} is missing`]
      const isSame = got.dtype === want.dtype && fits(want.shape, got.shape)
      return isSame ? [] : [`${what} is ${textOf(got)}, expected ${textOf(want)}`]
    }),
  ]
}

/** Free dimensions fit any number. ONNX Runtime shows an unknown shape as that of a scalar, so that fits too. */
function fits(want: TensorInfo['shape'], got: TensorInfo['shape']): boolean {
  if (got.length === 0) return true
  if (want.length !== got.length) return false
  return want.every((size, i) => typeof size === 'string' || typeof got[i] === 'string' || size === got[i])
}

function has(tensors: readonly TensorInfo[], name: string): boolean {
  return tensors.some((tensor) => tensor.name === name)
}

function textOf({ name, dtype, shape }: TensorInfo): string {
  return `${name}: ${dtype}[${shape.join(', ')}]`
}
