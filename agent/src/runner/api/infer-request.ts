import type { Release, TensorInfo } from '@godwit/protocol/release/release'
import type { ApiLimits } from '../messages.ts'
import type { Session, Tensors } from '../session/session.ts'
import { feedOf } from '../session/tensors.ts'
import { badRequest } from './api-error.ts'
import { datatypeOf } from './datatypes.ts'
import { dataOfBytes } from './tensor-binary.ts'
import { elementsOf } from './tensor-json.ts'

export type Asked = { name: string; isBinary: boolean }
export type InferRequest = { id: string | undefined; feeds: Tensors; outputs: Asked[] }

type Json = Record<string, unknown>

/**
 * A request of the Open Inference Protocol as tensors, each checked against what the release promises before a byte is handed
 * to the runtime.
 *
 * @param jsonBytes length of the JSON at the front when tensors follow it as bytes
 * @throws ApiError 400 that names the tensor, the expectation and what was found
 */
export function readInferRequest(
  body: Buffer,
  jsonBytes: number | undefined,
  session: Session,
  io: Release['io'],
  limits: Pick<ApiLimits, 'elementsMax'>,
): InferRequest {
  if (jsonBytes !== undefined && jsonBytes > body.length) {
    throw badRequest(`Inference-Header-Content-Length is ${jsonBytes}, the body has ${body.length} bytes`)
  }
  const request = objectOf(parsed(body.subarray(0, jsonBytes)), 'the request')
  const tail = new Tail(jsonBytes === undefined ? Buffer.alloc(0) : body.subarray(jsonBytes))
  const { id } = request
  if (id !== undefined && typeof id !== 'string') throw badRequest('id must be a string')
  const feeds = feedsOf(request, tail, session, io.inputs, limits.elementsMax)
  if (tail.left > 0) throw badRequest(`${tail.left} bytes follow the last binary tensor`)
  return { id, feeds, outputs: outputsOf(request, io.outputs) }
}

/** The bytes behind the JSON, taken from the front. */
class Tail {
  readonly #bytes: Buffer
  #at = 0
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }
  get left(): number {
    return this.#bytes.length - this.#at
  }
  take(what: string, length: unknown): Buffer {
    if (!Number.isSafeInteger(length) || (length as number) < 0 || (length as number) > this.left) {
      throw badRequest(`${what}: binary_data_size is ${JSON.stringify(length)}, ${this.left} bytes are there`)
    }
    const start = this.#at
    this.#at += length as number
    return this.#bytes.subarray(start, this.#at)
  }
}

function feedsOf(
  request: Json,
  tail: Tail,
  session: Session,
  inputs: readonly TensorInfo[],
  elementsMax: number,
): Tensors {
  if (!Array.isArray(request['inputs'])) throw badRequest('inputs must be an array')
  // Without a prototype: an input may be called `__proto__`.
  const feeds: Tensors = Object.create(null)
  let elements = 0
  for (const given of request['inputs']) {
    const input = objectOf(given, 'an input')
    const { name, shape, datatype } = input
    const info = inputs.find((one) => one.name === name)
    if (!info) throw badRequest(`input ${shown(name)}: the model takes ${list(inputs)}`)
    const what = `input ${info.name}`
    if (Object.hasOwn(feeds, info.name)) throw badRequest(`${what}: it is there twice`)
    const expected = datatypeOf[info.dtype]
    if (datatype !== expected)
      throw badRequest(`${what}: datatype is ${shown(datatype)}, expected ${expected}`)
    const dims = shapeOf(what, shape, info, elementsMax)
    elements += dims.reduce((product, size) => product * size, 1)
    if (elements > elementsMax) throw badRequest(`more than ${elementsMax} elements`)
    feeds[info.name] = tensorOf(what, input, dims, info, tail, session)
  }
  const absent = inputs.filter((info) => !Object.hasOwn(feeds, info.name))
  if (absent.length > 0) throw badRequest(`inputs lack ${list(absent)}`)
  return feeds
}

function tensorOf(what: string, input: Json, dims: number[], info: TensorInfo, tail: Tail, session: Session) {
  const size = parametersOf(what, input)['binary_data_size']
  if (size !== undefined && input['data'] !== undefined) {
    throw badRequest(`${what}: has data and binary_data_size, expected one`)
  }
  if (size === undefined) {
    const data = elementsOf(what, info.dtype, dims, input['data'])
    return feedOf(session, { dtype: info.dtype, shape: dims, data })
  }
  return session.tensor(info.dtype, dims, dataOfBytes(what, info.dtype, dims, tail.take(what, size)))
}

/** Fixed axes must be as the model has them; free ones may be anything that the limit allows. */
function shapeOf(what: string, shape: unknown, { shape: want }: TensorInfo, elementsMax: number): number[] {
  const isShape =
    Array.isArray(shape) &&
    shape.length <= 16 &&
    shape.every((size) => Number.isSafeInteger(size) && size >= 0)
  if (!isShape) throw badRequest(`${what}: shape must be an array of sizes, found ${shown(shape)}`)
  const sizes = shape as number[]
  let elements = 1
  for (const size of sizes) elements *= size
  if (elements > elementsMax)
    throw badRequest(`${what}: shape [${sizes}] has more than ${elementsMax} elements`)
  // ONNX Runtime shows an unknown shape as that of a scalar.
  const fits =
    sizes.length === want.length &&
    want.every((size, axis) => typeof size === 'string' || size === sizes[axis])
  if (want.length > 0 && !fits) throw badRequest(`${what}: shape [${sizes}], expected [${openShape(want)}]`)
  return sizes
}

/** None asked for is all of them. */
function outputsOf(request: Json, promised: readonly TensorInfo[]): Asked[] {
  const isBinaryByDefault = flagOf('the request', request, 'binary_data_output') ?? false
  const asked = request['outputs']
  if (asked === undefined) return promised.map(({ name }) => ({ name, isBinary: isBinaryByDefault }))
  if (!Array.isArray(asked) || asked.length === 0)
    throw badRequest('outputs must be an array, or absent for all')
  const outputs = asked.map((given) => {
    const output = objectOf(given, 'an output')
    const { name } = output
    const info = promised.find((one) => one.name === name)
    if (!info) throw badRequest(`output ${shown(name)}: the model has ${list(promised)}`)
    const isBinary = flagOf(`output ${info.name}`, output, 'binary_data') ?? isBinaryByDefault
    return { name: info.name, isBinary }
  })
  if (new Set(outputs.map(({ name }) => name)).size !== outputs.length)
    throw badRequest('an output is asked for twice')
  return outputs
}

function flagOf(what: string, holder: Json, name: string): boolean | undefined {
  const flag = parametersOf(what, holder)[name]
  if (flag === undefined || typeof flag === 'boolean') return flag
  throw badRequest(`${what}: ${name} must be true or false`)
}

function parametersOf(what: string, { parameters }: Json): Json {
  return parameters === undefined ? {} : objectOf(parameters, `the parameters of ${what}`)
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw badRequest(`the body is no JSON: ${(error as Error).message.slice(0, 200)}`)
  }
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw badRequest(`${what} must be an object`)
}

/** Free dimensions as the protocol writes them. */
export function openShape(shape: TensorInfo['shape']): number[] {
  return shape.map((size) => (typeof size === 'string' ? -1 : size))
}

function list(tensors: readonly TensorInfo[]): string {
  return tensors.map(({ name }) => name).join(', ')
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 100)
}
