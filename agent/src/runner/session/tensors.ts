import type { GoldenTensor } from '@godwit/protocol/release/golden'
import type { Dtype } from '@godwit/protocol/release/release'
import type { Session, SessionTensor, TensorData } from './session.ts'

type Numbers = { from(values: ArrayLike<number>): TensorData }

const numberArrays: Partial<Record<Dtype, Numbers>> = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
}

/** Node has it from 24 on; the type library of our target does not name it yet. */
const float16 = (globalThis as { Float16Array?: Numbers }).Float16Array
if (float16) numberArrays.float16 = float16

/** A golden tensor as the runtime wants it. Throws on values that the type cannot hold: the document is at fault. */
export function feedOf(session: Session, { dtype, shape, data }: GoldenTensor): SessionTensor {
  return session.tensor(dtype, shape, dataOf(dtype, data))
}

function dataOf(dtype: Dtype, data: GoldenTensor['data']): TensorData {
  if (dtype === 'string') return data as string[]
  if (dtype === 'bool') return Uint8Array.from(data as boolean[], Number)
  if (dtype === 'int64') return BigInt64Array.from(data as number[], BigInt)
  if (dtype === 'uint64') return BigUint64Array.from(data as number[], BigInt)
  const numbers = numberArrays[dtype]
  if (!numbers) throw new TypeError(`tensors of ${dtype} are not supported here`)
  return numbers.from(data as number[])
}

/** An answer in the terms of golden vectors: booleans are booleans again. */
export function answerOf({ type, dims, data }: SessionTensor): {
  dtype: string
  shape: readonly number[]
  data: TensorData
} {
  return {
    dtype: type,
    shape: dims,
    data: type === 'bool' ? Array.from(data, (value) => Number(value) !== 0) : data,
  }
}

/** The answer's memory, little endian (SPEC 6.6); strings as their UTF-8 in a row. */
export function bytesOf({ data }: SessionTensor): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return new TextEncoder().encode(Array.from(data as ArrayLike<string>).join(''))
}
