/** Just enough numerics for the trainer. Plain loops in a fixed order: the same data gives the same bits. */

/** The value that a share `p` of the sorted values does not exceed; `p` from 0 to 1. */
export function quantileOfSorted(sorted: ArrayLike<number>, p: number): number {
  const rank = Math.ceil(p * sorted.length) - 1
  return sorted[Math.min(sorted.length - 1, Math.max(0, rank))]!
}

export function sortedCopy(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort()
}

export function median(values: Iterable<number>): number {
  return quantileOfSorted(sortedCopy(values), 0.5)
}

/** Mean and covariance (divided by n) of rows of the same length, the covariance row-major. */
export function moments(rows: readonly Float64Array[]): { mean: Float64Array; covariance: Float64Array } {
  const d = rows[0]!.length
  const mean = new Float64Array(d)
  for (const row of rows) for (let i = 0; i < d; i++) mean[i]! += row[i]! / rows.length
  const covariance = new Float64Array(d * d)
  for (const row of rows) {
    for (let i = 0; i < d; i++) {
      const centred = (row[i]! - mean[i]!) / rows.length
      for (let j = 0; j < d; j++) covariance[i * d + j]! += centred * (row[j]! - mean[j]!)
    }
  }
  return { mean, covariance }
}

/**
 * Lower-triangular L with L·Lᵀ = `matrix` (row-major, symmetric, positive definite).
 * The trainer adds a ridge before it asks, so a matrix that fails here is a bug.
 */
export function cholesky(matrix: Float64Array, d: number): Float64Array {
  const lower = new Float64Array(d * d)
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i * d + j]!
      for (let k = 0; k < j; k++) rest -= lower[i * d + k]! * lower[j * d + k]!
      if (i === j && !(rest > 0)) throw new Error(`matrix is not positive definite: pivot ${i} is ${rest}`)
      lower[i * d + j] = i === j ? Math.sqrt(rest) : rest / lower[j * d + j]!
    }
  }
  return lower
}

/** Inverse of a lower-triangular matrix, lower-triangular again. */
export function invertLower(lower: Float64Array, d: number): Float64Array {
  const inverse = new Float64Array(d * d)
  for (let column = 0; column < d; column++) {
    for (let i = column; i < d; i++) {
      let rest = i === column ? 1 : 0
      for (let k = column; k < i; k++) rest -= lower[i * d + k]! * inverse[k * d + column]!
      inverse[i * d + column] = rest / lower[i * d + i]!
    }
  }
  return inverse
}
