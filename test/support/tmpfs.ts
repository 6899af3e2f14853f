import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Mounted for the probe as for the tests: a container may not be allowed to. */
export function mountTmpfs(at: string, options = 'size=24m'): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', at], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Lazily, so that nothing of a failed test keeps the next from running; what is unmounted already stays so. */
export function unmountTmpfs(at: string): void {
  try {
    execFileSync('umount', ['-l', at], { stdio: 'ignore' })
  } catch {}
}

export function mayMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), 'godwit-mount-'))
  const may = mountTmpfs(at)
  if (may) unmountTmpfs(at)
  rmSync(at, { recursive: true, force: true })
  return may
}

/** Writes a file that takes all the room there is. */
export function fillDisk(ballast: string): void {
  const file = openSync(ballast, 'w')
  try {
    for (let block = Buffer.alloc(65_536); ; ) writeSync(file, block)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}
