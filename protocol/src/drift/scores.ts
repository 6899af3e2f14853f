import { normalQuantile } from './numerics.ts'
import { sum } from './statistics.ts'

/**
 * Cut points in per mille of the reference, dense in the tails: 5 % outliers at six standard deviations are
 * found in a quarter of the values that sixteen equally likely bins need (drift reference 2.1).
 */
const cutsPerMille = [5, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 980, 995]

/** Strictly increasing, all below the largest value, so that no bin starts out empty. */
export function cutPoints(sorted: ArrayLike<number>): number[] {
  const max = sorted[sorted.length - 1]!
  const cuts = cutsPerMille.map((q) => sorted[Math.ceil((q * sorted.length) / 1000) - 1]!)
  return [...new Set(cuts)].filter((cut) => cut < max)
}

/** A_k and Q_k: 1000 times the mid-rank normal score of bin k, and its square. Integers. */
export function normalScores(referenceCounts: readonly number[]): { location: number[]; spread: number[] } {
  const total = sum(referenceCounts)
  let below = 0
  const scores = referenceCounts.map((count) => {
    const middle = (below + count / 2) / total
    below += count
    return normalQuantile(middle)
  })
  return { location: scores.map((z) => rounded(1000 * z)), spread: scores.map((z) => rounded(1000 * z * z)) }
}

/** How surprising a category is: 1000 times -ln of its Jeffreys-smoothed share. Integers. */
export function surprisalScores(referenceCounts: readonly number[]): number[] {
  const total = sum(referenceCounts) + referenceCounts.length / 2
  return referenceCounts.map((count) => rounded(-1000 * Math.log((count + 0.5) / total)))
}

/** Without a negative zero, which JSON would not bring back. */
function rounded(value: number): number {
  return Math.round(value) + 0
}
