import type { Golden, GoldenTensor } from '@godwit/protocol/release/golden'
import { featuresFetched, type Pipeline, pointsPerInputMax } from '@godwit/protocol/release/pipeline'
import type { Release, TensorInfo } from '@godwit/protocol/release/release'
import type { OnnxInfo } from './onnx-file.ts'

type Io = Release['io']

/** Where golden vectors do not fit the model's inputs and outputs; empty when they do. */
export function misfitsOfGolden(golden: Golden, io: Io): string[] {
  return golden.cases.flatMap((one, i) => [
    ...misfitsOfTensors(`case ${i}: input`, one.inputs, io.inputs, true),
    ...misfitsOfTensors(`case ${i}: output`, one.outputs, io.outputs, false),
    ...(Object.keys(one.outputs).length === 0
      ? [`case ${i}: expects no output, so it could never fail`]
      : []),
  ])
}

/**
 * Where the pipeline does not fit; empty when it does. Readings make `[1, window, fields]` (SPEC 4.6), for the model or
 * for the features graph before it, which `misfitsOfFeatures` judges.
 */
export function misfitsOfPipeline(pipeline: Pipeline, io: Io): string[] {
  const { fields, resample } = pipeline
  const misfits = resample ? misfitsOfResample(resample) : []
  const input = io.inputs.find(({ name }) => name === pipeline.input)
  if (!input) misfits.push(`input ${pipeline.input}: the model has no such input`)
  else if (!pipeline.features) misfits.push(...misfitsOfReadings(pipeline, input, 'the model'))
  for (const { name } of io.inputs) {
    if (name !== pipeline.input)
      misfits.push(`input ${name}: the model needs it, and the pipeline feeds only one`)
  }
  const outputs = [
    ...pipeline.outputs,
    ...(pipeline.decision ? [pipeline.decision.output] : []),
    ...pipeline.monitor.flatMap(({ of }) => ('output' in of ? [of.output] : [])),
  ]
  for (const name of new Set(outputs)) {
    if (!io.outputs.some((output) => output.name === name))
      misfits.push(`output ${name}: the model has no such output`)
  }
  const monitored = pipeline.monitor.flatMap(({ of }) =>
    'field' in of ? [of.field] : 'incrementOf' in of ? [of.incrementOf] : [],
  )
  for (const field of new Set(monitored)) {
    if (!fields.includes(field)) misfits.push(`monitor: ${field} is no field of a reading`)
  }
  if (!pipeline.features && pipeline.monitor.some(({ of }) => 'feature' in of)) {
    misfits.push('monitor: names a feature, and the pipeline has no features')
  }
  return misfits
}

/** Where a features graph does not fit between the readings and the model; empty when it does (SPEC 4.6.3). */
export function misfitsOfFeatures(pipeline: Pipeline, graph: OnnxInfo, io: Io): string[] {
  const { features } = pipeline
  if (!features) return []
  const misfits: string[] = []
  const input = graph.inputs.find(({ name }) => name === features.input)
  if (!input) misfits.push(`features: the graph has no input ${features.input}`)
  else misfits.push(...misfitsOfReadings(pipeline, input, 'the features graph'))
  for (const { name } of graph.inputs) {
    if (name !== features.input) misfits.push(`features: input ${name} is needed, and readings feed only one`)
  }
  for (const name of featuresFetched(pipeline)) {
    if (!graph.outputs.some((output) => output.name === name))
      misfits.push(`features: the graph has no output ${name}`)
  }
  const made = graph.outputs.find(({ name }) => name === features.output)
  const taken = io.inputs.find(({ name }) => name === pipeline.input)
  if (!made || !taken) return misfits
  if (made.dtype !== taken.dtype) {
    misfits.push(`features: ${made.name} is ${made.dtype ?? 'no tensor'}, the model takes ${taken.dtype}`)
  }
  if (made.shape && !mayMeet(made.shape, taken.shape)) {
    misfits.push(`features: ${made.name} has shape [${made.shape}], the model takes [${taken.shape}]`)
  }
  return misfits
}

/** The promise that golden vectors of a features graph are held to: what its file says of itself. */
export function ioOfGraph(graph: OnnxInfo): Io {
  const promised = (tensors: OnnxInfo['inputs']): TensorInfo[] =>
    tensors.flatMap(({ name, dtype, shape }) => (dtype && shape ? [{ name, dtype, shape }] : []))
  return { inputs: promised(graph.inputs), outputs: promised(graph.outputs) }
}

function misfitsOfReadings(
  { fields, window }: Pipeline,
  { name, dtype, shape: taken }: OnnxInfo['inputs'][number],
  taker: string,
): string[] {
  const misfits: string[] = []
  const shape = [1, window, fields.length]
  // SPEC 4.6: what looks at one reading may take it without the axis of time.
  const flat = window === 1 && taken?.length === 2 && isShapeOf([1, fields.length], taken)
  if (taken && !flat && !isShapeOf(shape, taken)) {
    misfits.push(`input ${name}: makes shape [${shape}], ${taker} takes [${taken}]`)
  }
  if (dtype !== 'float32') misfits.push(`input ${name}: readings are float32, ${taker} takes ${dtype}`)
  return misfits
}

function misfitsOfResample({ intervalMs, gapMsMax = 0 }: NonNullable<Pipeline['resample']>): string[] {
  if (gapMsMax <= pointsPerInputMax * intervalMs) return []
  const most = `${pointsPerInputMax} intervals of ${intervalMs} ms`
  return [`resample: gapMsMax ${gapMsMax} is more than ${most}, which a device bridges at most`]
}

/** Free axes fit any size. */
function mayMeet(made: TensorInfo['shape'], taken: TensorInfo['shape']): boolean {
  return (
    made.length === taken.length &&
    made.every(
      (size, axis) => typeof size === 'string' || typeof taken[axis] === 'string' || size === taken[axis],
    )
  )
}

function misfitsOfTensors(
  what: string,
  given: Record<string, GoldenTensor>,
  io: readonly TensorInfo[],
  isComplete: boolean,
): string[] {
  const misfits = Object.entries(given).flatMap(([name, tensor]) => {
    const want = io.find((info) => info.name === name)
    if (!want) return [`${what} ${name}: the model has none of that name`]
    return misfitsOfTensor(`${what} ${name}`, tensor, want)
  })
  const absent = isComplete ? io.filter(({ name }) => !Object.hasOwn(given, name)) : []
  return [...misfits, ...absent.map(({ name }) => `${what} ${name}: missing`)]
}

function misfitsOfTensor(what: string, { dtype, shape, data }: GoldenTensor, want: TensorInfo): string[] {
  if (dtype !== want.dtype) return [`${what}: is ${dtype}, expected ${want.dtype}`]
  if (!isShapeOf(shape, want.shape)) return [`${what}: has shape [${shape}], expected [${want.shape}]`]
  const elements = shape.reduce((product, size) => product * size, 1)
  if (data.length !== elements)
    return [`${what}: has ${data.length} elements, its shape [${shape}] has ${elements}`]
  const kind = dtype === 'string' ? 'string' : dtype === 'bool' ? 'boolean' : 'number'
  const odd = (data as unknown[]).findIndex((value) => typeof value !== kind)
  return odd < 0 ? [] : [`${what}: element ${odd} is a ${typeof data[odd]}, expected a ${kind}`]
}

function isShapeOf(shape: readonly number[], want: TensorInfo['shape']): boolean {
  return (
    shape.length === want.length &&
    want.every((size, axis) => typeof size === 'string' || size === shape[axis])
  )
}
