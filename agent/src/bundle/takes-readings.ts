import { Fault } from '@godwit/protocol/fault'
import type { TensorInfo } from '@godwit/protocol/release/release'

/** The tensor that a model, or a features graph, is fed with readings. */
export type ReadingsInput = { name: string; shape: readonly number[]; window: number }

/**
 * Which input takes the readings, and how many of them. A window is read off the axis before that of the fields; where
 * the model leaves it free, `asked` says it.
 *
 * @param fields how many numbers a reading has, from 1 on
 * @throws Fault `bundle-input` when the model cannot be fed with readings alone
 */
export function readingsInput(
  inputs: readonly TensorInfo[],
  fields: number,
  asked: number | undefined,
): ReadingsInput {
  const [input, ...others] = inputs
  if (!input || others.length > 0)
    throw wrong(`has ${inputs.length} inputs (${inputs.map(textOf).join(', ')})`)
  if (input.dtype !== 'float32') throw wrong(`takes ${textOf(input)}`)
  const { name, shape } = input
  const [last, before, ...rest] = [...shape].reverse()
  const isOneByOne = shape.length === 2
  if (!(isOneByOne || (shape.length === 3 && fitsOne(rest[0])))) throw wrong(`takes ${textOf(input)}`)
  if (typeof last === 'number' && last !== fields)
    throw wrong(`takes ${textOf(input)}, and there are ${fields} fields`)
  const own = isOneByOne ? 1 : typeof before === 'number' ? before : undefined
  const window = asked ?? own
  if (window === undefined)
    throw new Fault('bundle-window', `${textOf(input)} leaves the number of readings open: give --window`)
  if (own !== undefined && window !== own)
    throw wrong(`takes ${own} readings at a time (${textOf(input)}), not ${window}`)
  return { name, window, shape: isOneByOne ? [1, fields] : [1, window, fields] }
}

function fitsOne(size: number | string | undefined): boolean {
  return typeof size === 'string' || size === 1
}

function wrong(found: string): Fault {
  return new Fault(
    'bundle-input',
    `the model ${found}; expected one input float32[1, window, fields] or float32[1, fields]`,
  )
}

function textOf({ name, dtype, shape }: TensorInfo): string {
  return `${name}: ${dtype}[${shape.map((size) => size || '?').join(', ')}]`
}
