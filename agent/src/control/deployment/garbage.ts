import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { forgetBlocks } from '../download/part-file.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import { readRelease } from './staging.ts'

/**
 * Removes releases and blobs that no slot holds. Called when all slots are at rest, so nothing is half fetched.
 *
 * @param kept release digests that are active or last known good anywhere
 */
export function collectGarbage(paths: Paths, database: Database, kept: ReadonlySet<string>): void {
  const blobs = new Set<string>(kept)
  for (const digest of kept) {
    const release = readRelease(paths, digest)
    // Without its document we cannot tell which blobs it needs: rather keep too much.
    if (typeof release === 'string') return
    for (const file of Object.values(release.files)) blobs.add(file.sha256)
  }
  for (const name of namesIn(paths.releases)) {
    if (!kept.has(name)) rmSync(join(paths.releases, name), { recursive: true, force: true })
  }
  for (const name of namesIn(paths.blobs)) {
    if (blobs.has(name)) continue
    rmSync(join(paths.blobs, name), { force: true })
    if (name.endsWith('.part')) forgetBlocks(database, name.slice(0, -'.part'.length))
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
