import { readFileSync } from 'node:fs'

/** Resident memory of a process in bytes, now and at most; undefined once it is gone, or where there is no /proc. */
export function memoryOf(pid: number | undefined): { rssBytes: number; peakBytes: number } | undefined {
  if (pid === undefined) return undefined
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8')
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1])
    const rssBytes = kib('VmRSS') * 1024
    const peakBytes = kib('VmHWM') * 1024
    return Number.isFinite(rssBytes) && Number.isFinite(peakBytes) ? { rssBytes, peakBytes } : undefined
  } catch {
    return undefined
  }
}
