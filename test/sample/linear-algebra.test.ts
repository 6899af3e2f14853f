import { cholesky, invertLower, moments, quantileOfSorted } from '@godwit/sample-sensor-fleet/linear-algebra'
import { expect, test } from 'vitest'

test('a quantile is the smallest value that enough of the others do not exceed', () => {
  expect([0, 0.25, 0.26, 1].map((p) => quantileOfSorted([1, 2, 3, 4], p))).toEqual([1, 1, 2, 4])
})

test('mean and covariance of three points', () => {
  const { mean, covariance } = moments(
    [
      [0, 0],
      [3, 0],
      [0, 3],
    ].map((row) => Float64Array.from(row)),
  )
  expect([...mean]).toEqual([1, 1])
  for (const [i, value] of [2, -1, -1, 2].entries()) expect(covariance[i]).toBeCloseTo(value, 12)
})

test('the Cholesky factor times its transpose gives the matrix back, and its inverse undoes it', () => {
  const lower = cholesky(Float64Array.of(4, 2, 2, 5), 2)
  expect([...lower]).toEqual([2, 0, 1, 2])
  expect([...invertLower(lower, 2)]).toEqual([0.5, 0, -0.25, 0.5])
})

test('a matrix that is not positive definite is refused by its pivot', () => {
  expect(() => cholesky(Float64Array.of(1, 2, 2, 1), 2)).toThrow('pivot 1 is -3')
})
