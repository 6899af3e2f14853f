import { type Cell, pathClass } from './places.ts'

/**
 * Cells that stand for the others: at most so many, one of each kind of call in each phase before any kind has two.
 * The same seed takes the same ones out of the same list.
 */
export function sampleOf(cells: readonly Cell[], count: number, seed: number): Cell[] {
  const random = mulberry32(seed)
  const kinds = new Map<string, Cell[]>()
  for (const cell of cells) {
    const { story, call, path, phase } = cell.place
    const kind = `${cell.engine} ${story} ${cell.fault} ${call} ${pathClass(path)} ${phase}`
    kinds.set(kind, [...(kinds.get(kind) ?? []), cell])
  }
  const queues = shuffled(
    [...kinds.values()].map((kind) => shuffled(kind, random)),
    random,
  )
  const taken: Cell[] = []
  for (let round = 0; taken.length < Math.min(count, cells.length); round++)
    for (const queue of queues) {
      const cell = queue[round]
      if (cell && taken.length < count) taken.push(cell)
    }
  return taken
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const keyed = items.map((item) => ({ item, key: random() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}

/** A small generator of 32 bits of state; uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
