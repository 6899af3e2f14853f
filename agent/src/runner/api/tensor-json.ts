import type { GoldenTensor } from '@godwit/protocol/release/golden'
import type { Dtype } from '@godwit/protocol/release/release'
import type { SessionTensor } from '../session/session.ts'
import { badRequest } from './api-error.ts'
import { floatMax, integerRange } from './datatypes.ts'

/** Row-major elements out of `data`, flat or nested as the shape says, each one that the type can hold. */
export function elementsOf(
  what: string,
  dtype: Dtype,
  shape: readonly number[],
  data: unknown,
): GoldenTensor['data'] {
  if (!Array.isArray(data)) throw badRequest(`${what}: data must be an array`)
  const count = shape.reduce((product, size) => product * size, 1)
  const flat: unknown[] = Array.isArray(data[0]) ? flattened(what, data, shape) : data
  if (flat.length !== count) {
    throw badRequest(`${what}: ${flat.length} elements, its shape [${shape}] has ${count}`)
  }
  const isGood = judgeOf(dtype)
  for (let i = 0; i < flat.length; i++) {
    const flaw = isGood(flat[i])
    if (flaw) throw badRequest(`${what}: element ${i} ${flaw}`)
  }
  return flat as GoldenTensor['data']
}

/** Without recursion per element: only as deep as the shape, which is short. */
function flattened(what: string, data: unknown[], shape: readonly number[], depth = 0): unknown[] {
  if (data.length !== shape[depth]) {
    throw badRequest(`${what}: ${data.length} entries at depth ${depth}, its shape is [${shape}]`)
  }
  if (depth === shape.length - 1) return data
  const flat: unknown[] = []
  for (const row of data) {
    if (!Array.isArray(row)) throw badRequest(`${what}: nested data must be as deep as its shape [${shape}]`)
    for (const value of flattened(what, row, shape, depth + 1)) flat.push(value)
  }
  return flat
}

/** What is wrong with a value, as the end of a sentence. */
function judgeOf(dtype: Dtype): (value: unknown) => string | undefined {
  if (dtype === 'bool') return (value) => (typeof value === 'boolean' ? undefined : 'is no boolean')
  if (dtype === 'string') return (value) => (typeof value === 'string' ? undefined : 'is no string')
  const range = integerRange[dtype]
  if (range) return (value) => flawOfInteger(value, dtype, range)
  const max = floatMax[dtype]!
  return (value) => {
    if (typeof value !== 'number') return 'is no number'
    return Math.abs(value) <= max ? undefined : `is ${value}, beyond ${dtype}`
  }
}

function flawOfInteger(
  value: unknown,
  dtype: Dtype,
  [min, max]: readonly [number, number],
): string | undefined {
  if (typeof value !== 'number') return 'is no number'
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    return `is beyond 2^53, where JSON numbers lose digits: send ${dtype} as binary_data`
  }
  if (!Number.isInteger(value)) return `is ${value}, expected an integer`
  return value >= min && value <= max ? undefined : `is ${value}, beyond ${dtype}`
}

/**
 * The elements as the text of a JSON array. 64-bit integers are written digit by digit, which JSON allows; what is no
 * number has no place in JSON and is refused by name.
 */
export function jsonOf(name: string, { type, data }: SessionTensor): string {
  if (type === 'string') return JSON.stringify(Array.from(data as ArrayLike<string>))
  if (type === 'bool') return `[${Array.from(data, (value) => Number(value) !== 0).join()}]`
  const numbers = data as ArrayLike<number | bigint>
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]!
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw badRequest(`output ${name}: element ${i} is ${value}, which JSON cannot say: ask for binary_data`)
    }
  }
  return `[${Array.prototype.join.call(numbers, ',')}]`
}
