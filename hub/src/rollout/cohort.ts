import { sha256Hex } from '@godwit/protocol/release/blocks'
import { utf8 } from '@godwit/protocol/trust/encoding'
import type { WaveSize } from './plan.ts'

export type Member = {
  id: string /** Hardware class; one stratum for all where the plan names no label. */
  stratum: string
}

/**
 * Where in the queue of this rollout a device stands, 0 .. 2^48-1. It depends on the rollout, so that the same unlucky
 * devices are not the canaries every time, and on nothing else, so that asking again gives the same answer.
 */
export function bucketOf(rolloutId: string, deviceId: string): number {
  return Number.parseInt(sha256Hex(utf8(rolloutId + deviceId)).slice(0, 12), 16)
}

/**
 * The order in which devices get their turn: first one of every stratum, then all strata in step with their sizes, so
 * that every wave is a fair sample of the fleet's hardware.
 */
export function orderOf(rolloutId: string, members: readonly Member[]): string[] {
  const strata = new Map<string, { id: string; bucket: number }[]>()
  for (const { id, stratum } of members) {
    const entry = { id, bucket: bucketOf(rolloutId, id) }
    const inside = strata.get(stratum)
    if (inside) inside.push(entry)
    else strata.set(stratum, [entry])
  }
  const ranked = [...strata.values()].flatMap((inside) =>
    inside.sort(byBucket).map((entry, i) => ({ ...entry, rank: i === 0 ? -1 : (i + 0.5) / inside.length })),
  )
  return ranked.sort((a, b) => a.rank - b.rank || byBucket(a, b)).map(({ id }) => id)
}

function byBucket(a: { id: string; bucket: number }, b: { id: string; bucket: number }): number {
  return a.bucket - b.bucket || (a.id < b.id ? -1 : 1)
}

/** Per wave, how many devices of the queue are its own. A wave that finds nobody left has 0. */
export function waveCounts(sizes: readonly WaveSize[], total: number): number[] {
  let reached = 0
  return sizes.map((size) => {
    const left = total - reached
    const wanted =
      'rest' in size
        ? left
        : 'count' in size
          ? size.count
          : Math.max(1, Math.ceil((size.percent / 100) * total) - reached)
    const taken = Math.min(left, wanted)
    reached += taken
    return taken
  })
}
