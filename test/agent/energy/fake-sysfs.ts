import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { rootedSysfs, type Sysfs } from '@godwit/agent/energy/sysfs'
import { onTestFinished } from 'vitest'

export interface FakeTree extends Sysfs {
  write(files: Record<string, string | number>): void
  remove(path: string): void
  /** CPU time since boot, all cores together, in ms. */
  cpu(busyMs: number, idleMs: number, cores?: number): void
}

/** Real files under a temporary directory, laid out like /sys and /proc. */
export function fakeTree(files: Record<string, string | number> = {}): FakeTree {
  const root = mkdtempSync(join(tmpdir(), 'godwit-sysfs-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const tree: FakeTree = {
    ...rootedSysfs(root),
    write(more) {
      for (const [path, content] of Object.entries(more)) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), `${content}\n`)
      }
    },
    remove: (path) => rmSync(join(root, path)),
    cpu(busyMs, idleMs, cores = 4) {
      const perCore = Array.from({ length: cores }, (_, i) => `cpu${i} 0 0 0 0 0 0 0 0 0 0`).join('\n')
      tree.write({ '/proc/stat': `cpu  ${busyMs / 10} 0 0 ${idleMs / 10} 0 0 0 0 0 0\n${perCore}\nctxt 1` })
    },
  }
  tree.write(files)
  return tree
}
