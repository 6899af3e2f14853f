import { normalQuantile } from './numerics.ts'

/** A statistic with its tie-breaker; keys are compared in this order. */
export type RankEdges = { values: number[]; jitters: number[] }

/**
 * What the bets stake, derived from the number of reference windows alone: one table serves every feature.
 * `gaps[g]` is how many of the M + 1 gaps between ranked reference windows lie in bin g.
 */
export type BetTable = { readonly gaps: readonly number[]; readonly tilts: readonly (readonly number[])[] }

/** In per cent, so that the rank of exactly 2 % of 50 windows is 1 and no rounding decides it. */
const rankPercents = [2, 10, 30, 70, 90, 98]
const slopes = [0.5, 1.5, 4, -0.5, -1.5, -4]
/** An upper-sided statistic uses the first three rows of the table only. */
export const upperTilts = 3
export const bothTilts = slopes.length

/** Ranks (1-based) whose keys become the edges of the rank bins: few windows merge neighbouring ranks. */
export function edgeRanks(windows: number): number[] {
  const ranks = [1, ...rankPercents.map((percent) => Math.ceil((percent * windows) / 100)), windows]
  return [...new Set(ranks)].filter((rank) => rank > 0)
}

/** @param windows reference windows M, at least 1 */
export function betTable(windows: number): BetTable {
  const ranks = edgeRanks(windows)
  const gaps = [...ranks.map((rank, g) => rank - (ranks[g - 1] ?? 0)), 1]
  let below = 0
  const scores = gaps.map((gap) => {
    const middle = (below + gap / 2) / (windows + 1)
    below += gap
    return normalQuantile(middle)
  })
  return { gaps, tilts: slopes.map((slope) => scores.map((score) => Math.exp(slope * score))) }
}

/** Sorts one statistic of all reference windows and keeps the keys at the edge ranks. */
export function rankEdges(values: readonly number[], jitters: readonly number[]): RankEdges {
  const order = values.map((_, w) => w).sort((a, b) => values[a]! - values[b]! || jitters[a]! - jitters[b]!)
  const kept = edgeRanks(values.length).map((rank) => order[rank - 1]!)
  return { values: kept.map((w) => values[w]!), jitters: kept.map((w) => jitters[w]!) }
}

/** Rank bin of a new key: how many edge keys lie below it. */
export function rankBin(edges: RankEdges, value: number, jitter: number): number {
  let bin = 0
  while (bin < edges.values.length && isBelow(edges, bin, value, jitter)) bin++
  return bin
}

function isBelow(edges: RankEdges, g: number, value: number, jitter: number): boolean {
  const edge = edges.values[g]!
  return edge < value || (edge === value && edges.jitters[g]! < jitter)
}
