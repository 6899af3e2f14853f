import type { Dtype } from '@godwit/protocol/release/release'
import type { SessionTensor, TensorData } from '../session/session.ts'
import { badRequest } from './api-error.ts'
import { elementBytes } from './datatypes.ts'

type Bits = { new (buffer: ArrayBuffer): TensorData }

const arrays: Partial<Record<Dtype, Bits>> = {
  bool: Uint8Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
}

/** Node has it from 24 on; the type library of our target does not name it yet. */
const float16 = (globalThis as { Float16Array?: Bits }).Float16Array
if (float16) arrays.float16 = float16

/**
 * A tensor's memory out of the bytes behind the JSON: little endian, as this machine has it. Copied, because the bytes of
 * a body need not lie where numbers may.
 */
export function dataOfBytes(
  what: string,
  dtype: Dtype,
  shape: readonly number[],
  bytes: Uint8Array,
): TensorData {
  const count = shape.reduce((product, size) => product * size, 1)
  if (dtype === 'string') return stringsOf(what, count, bytes)
  const expected = count * elementBytes[dtype]
  if (bytes.length !== expected) {
    throw badRequest(`${what}: ${bytes.length} bytes, its shape [${shape}] has ${expected}`)
  }
  const make = arrays[dtype]
  if (!make) throw badRequest(`${what}: tensors of ${dtype} are not supported here`)
  if (dtype === 'bool' && bytes.some((byte) => byte > 1))
    throw badRequest(`${what}: a BOOL is neither 0 nor 1`)
  return new make(Uint8Array.from(bytes).buffer)
}

function stringsOf(what: string, count: number, bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const strings: string[] = []
  let at = 0
  while (at < bytes.length) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : Number.POSITIVE_INFINITY
    if (at + 4 + length > bytes.length) throw badRequest(`${what}: string ${strings.length} is cut off`)
    try {
      strings.push(decoder.decode(bytes.subarray(at + 4, at + 4 + length)))
    } catch {
      throw badRequest(`${what}: string ${strings.length} is no UTF-8`)
    }
    at += 4 + length
  }
  if (strings.length !== count) throw badRequest(`${what}: ${strings.length} strings, its shape has ${count}`)
  return strings
}

export function bytesOfTensor({ type, data }: SessionTensor): Uint8Array {
  if (type !== 'string') {
    const { buffer, byteOffset, byteLength } = data as unknown as Uint8Array
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  const parts = Array.from(data as ArrayLike<string>).flatMap((text) => {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return Buffer.concat(parts)
}
