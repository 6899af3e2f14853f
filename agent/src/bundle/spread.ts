/**
 * Places in `scores` that stand for all of them: the least, the greatest, and what lies between, one half evenly by rank
 * (what a device will see all day) and one half evenly by value (what it will see rarely).
 *
 * @param count from 1 on
 * @returns at most `count` indexes without doubles, in the order of their scores
 */
export function spread(scores: readonly number[], count: number): number[] {
  const byScore = scores.map((_, index) => index).sort((a, b) => scores[a]! - scores[b]! || a - b)
  if (byScore.length <= count) return byScore
  if (count === 1) return [byScore[byScore.length >> 1]!]
  const last = byScore.length - 1
  const sorted = byScore.map((index) => scores[index]!)
  const byRank = Math.ceil(count / 2)
  const byValue = count - byRank
  const ranks = Array.from({ length: byRank }, (_, k) => Math.round((k * last) / Math.max(1, byRank - 1)))
  const step = (sorted[last]! - sorted[0]!) / (byValue + 1)
  const values = Array.from({ length: byValue }, (_, k) => firstFrom(sorted, sorted[0]! + (k + 1) * step))
  const places = new Set([...ranks, ...values])
  // Where both ways met, what is missing is taken between: any place will do that is not taken.
  const stride = Math.max(1, Math.floor(byScore.length / count))
  for (let offset = 0; places.size < count && offset < stride; offset++)
    for (let place = offset; places.size < count && place <= last; place += stride) places.add(place)
  return [...places].sort((a, b) => a - b).map((place) => byScore[place]!)
}

/** The first place of sorted numbers that is not below `value`. */
function firstFrom(sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Nearest-rank quantiles (0 to 1) of unsorted numbers, of which there is at least one. */
export function quantilesOf(values: readonly number[], quantiles: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort()
  return quantiles.map((q) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!)
}
