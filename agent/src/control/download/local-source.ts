import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlockSource, SourceEnd } from './block-source.ts'

/**
 * Blobs that lie on this device's disk: what came from a stick, what a gateway keeps for its neighbours. Checked like
 * everything else: a file may have been altered, and it may not be the one that its name says.
 */
export function localSource(name: string, pathOf: (sha256: string) => string): BlockSource {
  return {
    name,
    cost: 'none',
    isShared: true,
    isStranger: true,
    async fetch({ file, wanted, take, signal }) {
      let handle: FileHandle
      try {
        handle = await open(pathOf(file.sha256), constants.O_RDONLY | constants.O_NOFOLLOW)
      } catch {
        return absent(name, file.sha256)
      }
      try {
        const found = await handle.stat()
        if (!found.isFile() || found.size !== file.sizeBytes) return absent(name, file.sha256)
        for (const block of wanted) {
          signal.throwIfAborted()
          const bytes = Buffer.alloc(block.length)
          const { bytesRead } = await handle.read(bytes, 0, block.length, block.offset)
          if (bytesRead < block.length || !(await take(block, bytes)))
            return {
              end: 'retryable',
              code: 'integrity',
              detail: `${name}: block ${block.index} has the wrong digest`,
            }
        }
        return { end: 'complete' }
      } finally {
        await handle.close()
      }
    },
  }
}

function absent(name: string, sha256: string): SourceEnd {
  return { end: 'refused', code: 'internal', detail: `${name}: no blob ${sha256}` }
}
