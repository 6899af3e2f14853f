import type { Golden, GoldenTensor } from '@godwit/protocol/release/golden'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import type { Release, TensorInfo } from '@godwit/protocol/release/release'

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

/** Where the pipeline does not fit; empty when it does. Its input is `[1, window, fields]` (SPEC 4.6). */
export function misfitsOfPipeline(pipeline: Pipeline, io: Io): string[] {
  const misfits: string[] = []
  const input = io.inputs.find(({ name }) => name === pipeline.input)
  const { fields, window } = pipeline
  const shape = [1, window, fields.length]
  // SPEC 4.6: a model that looks at one reading may take it without the axis of time.
  const flat = window === 1 && input?.shape.length === 2 && isShapeOf([1, fields.length], input.shape)
  if (!input) misfits.push(`input ${pipeline.input}: the model has no such input`)
  else {
    if (!flat && !isShapeOf(shape, input.shape)) {
      misfits.push(`input ${input.name}: makes shape [${shape}], the model takes [${input.shape}]`)
    }
    if (!/^(float|u?int)/.test(input.dtype)) {
      misfits.push(`input ${input.name}: readings are numbers, the model takes ${input.dtype}`)
    }
  }
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
  return misfits
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
