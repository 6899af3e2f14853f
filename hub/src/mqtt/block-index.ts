import type { BundleFile } from '@godwit/protocol/release/release'
import { isListed } from '../registry/model.ts'
import type { Registry } from '../registry/registry.ts'

type Listed = Pick<BundleFile, 'sizeBytes' | 'blockBytes' | 'blocks'>

/** Every block of every file that a listed release names, and the release documents themselves. */
export type BlockIndex = ReadonlyMap<string, Listed>

/** What is not listed is nobody's to fetch: a hub is no store for files that no publisher has signed for. */
export async function buildBlockIndex(registry: Registry): Promise<BlockIndex> {
  const index = new Map<string, Listed>()
  for (const { name } of await registry.models()) {
    for (const version of await registry.versions(name)) {
      if (!isListed(version)) continue
      const { releaseDigest, releaseBytes } = version
      index.set(releaseDigest, { sizeBytes: releaseBytes, blockBytes: releaseBytes, blocks: [releaseDigest] })
      const release = await registry.release(name, version.version)
      for (const { sha256, sizeBytes, blockBytes, blocks } of Object.values(release?.files ?? {}))
        index.set(sha256, { sizeBytes, blockBytes, blocks })
    }
  }
  return index
}
