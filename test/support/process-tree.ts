import { readdirSync, readFileSync } from 'node:fs'

/** Processes whose parent is this one, from /proc. */
export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

/** Processes that have this text in their command line, without the one that asks. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && commandLine(name).includes(text))
    .map(Number)
}

/** Empty for one that has ended meanwhile, or that is a zombie. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

/** Where there is no /proc, there is no way to look. */
export const hasProc = process.platform === 'linux'
