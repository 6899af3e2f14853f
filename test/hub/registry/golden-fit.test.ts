import { misfitsOfPipeline } from '@godwit/hub/registry/golden-fit'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import { expect, test } from 'vitest'

const pipeline = (window: number, fields: string[]): Pipeline => ({
  format: 'godwit-pipeline/1',
  fields,
  window,
  input: 'x',
  outputs: ['y'],
  monitor: [],
})
const io = (shape: (number | string)[]) => ({
  inputs: [{ name: 'x', dtype: 'float32' as const, shape }],
  outputs: [{ name: 'y', dtype: 'float32' as const, shape: ['N'] }],
})

test('a pipeline fits a model that takes [batch, window, fields]', () => {
  expect(misfitsOfPipeline(pipeline(4, ['a', 'b']), io(['N', 4, 2]))).toEqual([])
  expect(misfitsOfPipeline(pipeline(4, ['a', 'b']), io(['N', 3, 2]))).toEqual([
    'input x: makes shape [1,4,2], the model takes [N,3,2]',
  ])
})

test('a model that looks at one reading may take it without the axis of time, and no other model may', () => {
  expect(misfitsOfPipeline(pipeline(1, ['a', 'b']), io(['N', 2]))).toEqual([])
  expect(misfitsOfPipeline(pipeline(1, ['a', 'b']), io(['N', 1, 2]))).toEqual([])
  expect(misfitsOfPipeline(pipeline(1, ['a', 'b']), io(['N', 3]))).toHaveLength(1)
  expect(misfitsOfPipeline(pipeline(2, ['a']), io(['N', 2]))).toHaveLength(1)
})
