import { sha256 } from '#crypto'
import { blockBytesDefault, blockBytesMax, blocksPerFileMax } from '../limits.ts'
import { toHex } from '../trust/encoding.ts'
import type { BundleFile } from './release.ts'

export function sha256Hex(bytes: Uint8Array): string {
  return toHex(sha256(bytes))
}

/** The smallest power of two from 64 KiB on that keeps the block list within its limit. */
export function blockBytesFor(sizeBytes: number): number {
  let size = blockBytesDefault
  while (size < blockBytesMax && Math.ceil(sizeBytes / size) > blocksPerFileMax) size *= 2
  return size
}

/** Describes a whole file held in memory; large files are described as they stream, by the same numbers. */
export function describeFile(bytes: Uint8Array, blockBytes = blockBytesFor(bytes.length)): BundleFile {
  const blocks: string[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    blocks.push(sha256Hex(bytes.subarray(at, Math.min(at + blockBytes, bytes.length))))
  }
  return { sha256: sha256Hex(bytes), sizeBytes: bytes.length, blockBytes, blocks }
}

/** Where a block lies in its file: offset and length in bytes. */
export function blockRange(
  file: Pick<BundleFile, 'sizeBytes' | 'blockBytes'>,
  index: number,
): { offset: number; length: number } {
  const offset = index * file.blockBytes
  return { offset, length: Math.min(file.blockBytes, file.sizeBytes - offset) }
}
