import { chmodSync, copyFileSync, linkSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { mistakesOf, type Release, release as releaseDocument } from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { readIfThere, syncDirectory, syncFile } from '../files.ts'
import type { Paths } from '../paths.ts'

/** Bundle files lie below their own directory, so that no bundle path can meet a name of ours. */
export function bundleDirectory(paths: Paths, releaseDigest: string): string {
  return join(paths.staged(releaseDigest), 'bundle')
}

/** A release document that was fetched and verified earlier; a string says what is wrong with it. */
export function readRelease(paths: Paths, releaseDigest: string): Release | string {
  const bytes =
    readIfThere(paths.blob(releaseDigest)) ?? readIfThere(join(paths.staged(releaseDigest), 'release.json'))
  if (!bytes) return `no release document ${releaseDigest}`
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return `release document: ${parsed.detail}`
  const read = releaseDocument.check(parsed.value)
  if (!read.ok) return read.detail
  const mistakes = mistakesOf(read.value)
  return mistakes.length > 0 ? `release document: ${mistakes.join('; ')}` : read.value
}

export function isStaged(paths: Paths, releaseDigest: string): boolean {
  try {
    return statSync(bundleDirectory(paths, releaseDigest)).isDirectory()
  } catch {
    return false
  }
}

/**
 * Lays the bundle's files out under their names in a directory of its own, made aside and renamed when whole: a power
 * cut leaves all of it or none. Links where the file system can, so that a model is on the disk once. False when a
 * blob is not there.
 */
export function stage(paths: Paths, releaseDigest: string, release: Release): boolean {
  const final = paths.staged(releaseDigest)
  const aside = `${final}.tmp`
  rmSync(aside, { recursive: true, force: true })
  const directories = new Set([aside, join(aside, 'bundle')])
  try {
    for (const [path, file] of Object.entries(release.files)) {
      const to = join(aside, 'bundle', path)
      mkdirSync(dirname(to), { recursive: true })
      for (let at = dirname(to); at !== aside; at = dirname(at)) directories.add(at)
      linkOrCopy(paths.blob(file.sha256), to)
    }
    linkOrCopy(paths.blob(releaseDigest), join(aside, 'release.json'))
  } catch (error) {
    rmSync(aside, { recursive: true, force: true })
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  for (const directory of directories) syncDirectory(directory)
  rmSync(final, { recursive: true, force: true })
  renameSync(aside, final)
  syncDirectory(paths.releases)
  return true
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
    copyFileSync(from, to)
    syncFile(to)
  }
  // Shared with the blob: nobody may write to either.
  chmodSync(to, 0o444)
}
