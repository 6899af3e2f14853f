import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The kernel's file trees (/sys and /proc) as far as energy needs them. Absent and unreadable look the same to a
 * reader, because both mean "no number now"; neither may ever turn into 0.
 */
export interface Sysfs {
  /** The file's text without surrounding white space and NUL bytes, or undefined when it cannot be read. */
  readFile(path: string): string | undefined
  /** Names in a directory, sorted; empty when there is no such directory. */
  list(path: string): readonly string[]
}

/** Synchronous on purpose: these files live in memory, and a sample must see all of them at one moment. */
export function rootedSysfs(root = '/'): Sysfs {
  return {
    readFile(path) {
      try {
        return readFileSync(join(root, path), 'utf8').replaceAll('\0', '').trim()
      } catch {
        return undefined
      }
    },
    list(path) {
      try {
        return readdirSync(join(root, path)).sort()
      } catch {
        return []
      }
    },
  }
}

/** A whole number in the file's own unit, sign allowed; undefined when the file holds anything else. */
export function readInteger(sysfs: Sysfs, path: string): number | undefined {
  const text = sysfs.readFile(path)
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
}
