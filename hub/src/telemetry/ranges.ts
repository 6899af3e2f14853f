/** Sequence numbers, both ends included. */
export type Range = readonly [first: number, last: number]

/** Sorted, without overlap, neighbours joined. Ranges that end before they begin are nothing. */
export function normalised(ranges: readonly Range[]): Range[] {
  const sorted = ranges.filter(([first, last]) => first <= last).sort((a, b) => a[0] - b[0])
  const result: [number, number][] = []
  for (const [first, last] of sorted) {
    const before = result[result.length - 1]
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else result.push([first, last])
  }
  return result
}

/** What is in `from` and in none of `others`. */
export function without(from: readonly Range[], others: readonly Range[]): Range[] {
  const cuts = normalised(others)
  const result: Range[] = []
  for (const [first, last] of normalised(from)) {
    let next = first
    for (const [cutFirst, cutLast] of cuts) {
      if (cutLast < next) continue
      if (cutFirst > last) break
      if (cutFirst > next) result.push([next, cutFirst - 1])
      next = cutLast + 1
      if (next > last) break
    }
    if (next <= last) result.push([next, last])
  }
  return result
}

export function countIn(ranges: readonly Range[]): number {
  return ranges.reduce((sum, [first, last]) => sum + (last - first + 1), 0)
}

export function within(ranges: readonly Range[], bounds: Range): Range[] {
  return normalised(
    ranges.map(([first, last]) => [Math.max(first, bounds[0]), Math.min(last, bounds[1])] as const),
  )
}

/** Runs of consecutive numbers. `numbers` may come in any order and more than once. */
export function rangesOf(numbers: Iterable<number>): Range[] {
  return normalised([...numbers].map((n) => [n, n] as const))
}

/** The highest number up to which `ranges` cover everything after `from`, and `from` itself if they do not go on there. */
export function reach(from: number, ranges: readonly Range[]): number {
  let reached = from
  for (const [first, last] of normalised(ranges)) {
    if (first > reached + 1) break
    reached = Math.max(reached, last)
  }
  return reached
}
