import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readInferRequest } from '@godwit/agent/runner/api/infer-request'
import { writeInferResponse } from '@godwit/agent/runner/api/infer-response'
import { openNative } from '@godwit/agent/runner/session/native'
import type { Session } from '@godwit/agent/runner/session/session'
import type { GoldenCase } from '@godwit/protocol/release/golden'
import type { Dtype } from '@godwit/protocol/release/release'
import onnxProto from 'onnx-proto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../bundle-on-disk.ts'

process.env['ORT_DISABLE_TELEMETRY'] = '1'
const { onnx } = onnxProto

const elemTypes: [Dtype, number][] = [
  ['float32', 1],
  ['uint8', 2],
  ['int8', 3],
  ['uint16', 4],
  ['int16', 5],
  ['int32', 6],
  ['int64', 7],
  ['string', 8],
  ['bool', 9],
  ['float16', 10],
  ['float64', 11],
  ['uint32', 12],
  ['uint64', 13],
]
const sessions = new Map<Dtype, Session>()

/** A model that answers what it is given, of one type. */
function identity(elemType: number): Uint8Array {
  const value = (name: string) => ({
    name,
    type: { tensorType: { elemType, shape: { dim: [{ dimParam: 'n' }] } } },
  })
  const graph = {
    name: 'identity',
    node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
    input: [value('x')],
    output: [value('y')],
  }
  return onnx.ModelProto.encode(
    onnx.ModelProto.create({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }),
  ).finish()
}

beforeAll(async () => {
  const folder = temporaryFolder()
  for (const [dtype, elemType] of elemTypes) {
    const path = join(folder, `${dtype}.onnx`)
    writeFileSync(path, identity(elemType))
    const sample: GoldenCase = { inputs: {}, outputs: {} }
    const session = await openNative(path, ['cpu'], 1, sample)
    if (!session.ok) throw new Error(session.detail)
    sessions.set(dtype, session.value)
  }
})
afterAll(async () => {
  for (const session of sessions.values()) await session.release()
})

type Parts = { json: Record<string, unknown>; tail: Buffer }

async function ask(
  dtype: Dtype,
  input: object,
  { tail, ...more }: { tail?: Buffer; outputs?: unknown } = {},
): Promise<Parts> {
  const session = sessions.get(dtype)!
  const io = { inputs: [...session.inputs], outputs: [...session.outputs] }
  const json = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', ...input }], ...more }))
  const body = tail ? Buffer.concat([json, tail]) : json
  const request = readInferRequest(body, tail && json.length, session, io, { elementsMax: 100 })
  const answer = await session.run(request.feeds, ['y'])
  const { body: out, jsonBytes } = writeInferResponse(request, { model: 'm', version: '1' }, answer)
  return { json: JSON.parse(out.toString('utf8', 0, jsonBytes)), tail: out.subarray(jsonBytes ?? out.length) }
}

const dataOf = ({ json }: Parts) => (json as { outputs: { data: unknown }[] }).outputs[0]!.data

test.each<[Dtype, string, unknown[]]>([
  ['float32', 'FP32', [1.5, -2, 0]],
  ['float64', 'FP64', [0.1, 1e300, -0.5]],
  ['float16', 'FP16', [1.5, -65_504, 0.25]],
  ['uint8', 'UINT8', [0, 255, 7]],
  ['int8', 'INT8', [-128, 127, 0]],
  ['uint16', 'UINT16', [0, 65_535, 1]],
  ['int16', 'INT16', [-32_768, 32_767, 1]],
  ['uint32', 'UINT32', [0, 4_294_967_295, 1]],
  ['int32', 'INT32', [-2_147_483_648, 2_147_483_647, 1]],
  ['int64', 'INT64', [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1]],
  ['uint64', 'UINT64', [Number.MAX_SAFE_INTEGER, 0, 1]],
  ['bool', 'BOOL', [true, false, true]],
  ['string', 'BYTES', ['a', 'ü', '']],
])('%s comes back as it went in', async (dtype, datatype, data) => {
  expect(dataOf(await ask(dtype, { datatype, shape: [data.length], data }))).toEqual(data)
})

test.each<[Dtype, string, unknown, RegExp]>([
  ['uint8', 'UINT8', 256, /element 0 is 256, beyond uint8/],
  ['uint8', 'UINT8', 1.5, /expected an integer/],
  ['int64', 'INT64', 2 ** 53, /beyond 2\^53.*binary_data/],
  ['float16', 'FP16', 70_000, /beyond float16/],
  ['float32', 'FP32', 1e39, /beyond float32/],
  ['float32', 'FP32', null, /no number/],
  ['bool', 'BOOL', 1, /no boolean/],
  ['string', 'BYTES', 1, /no string/],
])('%s refuses by name what it cannot hold', async (dtype, datatype, value, reason) => {
  await expect(ask(dtype, { datatype, shape: [1], data: [value] })).rejects.toThrow(reason)
})

const asBytes = (tail: Buffer, more: object = {}) => ({
  tail,
  outputs: [{ name: 'y', parameters: { binary_data: true } }],
  ...more,
})

test('64-bit integers keep every digit as bytes, and are written out in JSON', async () => {
  const big = Buffer.alloc(8)
  big.writeBigInt64LE(2n ** 62n + 1n)
  const input = { datatype: 'INT64', shape: [1], parameters: { binary_data_size: 8 } }
  const { tail } = await ask('int64', input, asBytes(big))
  expect(tail.readBigInt64LE()).toBe(2n ** 62n + 1n)
  const session = sessions.get('int64')!
  const io = { inputs: [...session.inputs], outputs: [...session.outputs] }
  const json = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', ...input }] }))
  const request = readInferRequest(Buffer.concat([json, big]), json.length, session, io, { elementsMax: 9 })
  const { body } = writeInferResponse(
    request,
    { model: 'm', version: '1' },
    await session.run(request.feeds, ['y']),
  )
  expect(body.toString()).toContain('"data":[4611686018427387905]')
})

test('strings travel as lengths and bytes', async () => {
  const text = Buffer.from('grüße')
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  const bytes = Buffer.concat([length, text])
  const input = { datatype: 'BYTES', shape: [1], parameters: { binary_data_size: bytes.length } }
  expect((await ask('string', input, asBytes(bytes))).tail).toEqual(bytes)
})

test.each<[string, object, Buffer, RegExp]>([
  [
    'too few bytes',
    { shape: [2], parameters: { binary_data_size: 4 } },
    Buffer.alloc(4),
    /4 bytes, its shape \[2\] has 8/,
  ],
  [
    'fewer bytes than announced',
    { shape: [2], parameters: { binary_data_size: 8 } },
    Buffer.alloc(4),
    /4 bytes are there/,
  ],
  [
    'bytes that nobody takes',
    { shape: [1], parameters: { binary_data_size: 4 } },
    Buffer.alloc(6),
    /2 bytes follow/,
  ],
  [
    'both bytes and data',
    { shape: [1], data: [1], parameters: { binary_data_size: 4 } },
    Buffer.alloc(4),
    /expected one/,
  ],
])('refuses %s', async (_, input, tail, reason) => {
  await expect(ask('float32', { datatype: 'FP32', ...input }, { tail })).rejects.toThrow(reason)
})

test('refuses to say in JSON what JSON cannot say, and gives it as bytes', async () => {
  const nan = Buffer.from(Float32Array.of(Number.NaN).buffer)
  const input = { datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }
  await expect(ask('float32', input, { tail: nan })).rejects.toThrow(
    /output y: element 0 is NaN.*binary_data/,
  )
  expect((await ask('float32', input, asBytes(nan))).tail.readFloatLE()).toBeNaN()
})
