import { blockRange } from '@godwit/protocol/release/blocks'
import type { BundleFile } from '@godwit/protocol/release/release'

/** One block still to be had. */
export type Wanted = { index: number; sha256: string; offset: number; length: number }

/** What is missing, in order of position. */
export function missingBlocks(file: BundleFile, have: ReadonlySet<number>): Wanted[] {
  return file.blocks.flatMap((sha256, index) =>
    have.has(index) ? [] : [{ index, sha256, ...blockRange(file, index) }],
  )
}

/** Neighbours together, so that one HTTP range brings many; no run longer than `bytesMax`, but at least one block. */
export function runsOf(wanted: readonly Wanted[], bytesMax: number): Wanted[][] {
  const runs: Wanted[][] = []
  for (const block of wanted) {
    const run = runs.at(-1)
    const last = run?.at(-1)
    const bytes = run?.reduce((sum, { length }) => sum + length, 0) ?? 0
    const follows = last !== undefined && last.index + 1 === block.index && bytes + block.length <= bytesMax
    if (follows) run!.push(block)
    else runs.push([block])
  }
  return runs
}

export function bytesOf(blocks: readonly { length: number }[]): number {
  return blocks.reduce((sum, { length }) => sum + length, 0)
}

/** What comes on top of what is missing before a download counts as run out of hand: holes asked for twice, cut blocks. */
export type Allowance = { overheadPercent: number; overheadBytesMin: number }

/** Bytes that a plan may take from the link, all in all. */
export function allowedBytes(plannedBytes: number, { overheadPercent, overheadBytesMin }: Allowance): number {
  return plannedBytes + Math.max(overheadBytesMin, Math.ceil((plannedBytes * overheadPercent) / 100))
}
