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

/** The first neighbours, so that one HTTP range brings many: no more than `bytesMax`, but at least one block. */
export function firstRun(wanted: readonly Wanted[], bytesMax: number): Wanted[] {
  let bytes = 0
  const end = wanted.findIndex(({ index, length }, place) => {
    bytes += length
    return place > 0 && (index !== wanted[place - 1]!.index + 1 || bytes > bytesMax)
  })
  return wanted.slice(0, end < 0 ? undefined : end)
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
