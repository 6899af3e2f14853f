import { cpus } from 'node:os'
import type { Sysfs } from './sysfs.ts'

/** USER_HZ is 100 in the kernel's interface to user space on every architecture Node runs on. */
const MS_PER_TICK = 10

/** CPU time since boot, summed over all cores, in ms. */
export interface CpuTimes {
  readonly busyMs: number
  readonly totalMs: number
  readonly cores: number
}

/** Load between two readings; `busyShare` is 0..1 of all cores together. */
export interface CpuLoad {
  readonly busyShare: number
  readonly cores: number
}

/**
 * The first line of /proc/stat. Guest time is already inside user time; waiting for I/O is not work; steal is another
 * tenant's work. None of the three may count as busy here, or a noisy neighbour would shrink our runner's share.
 */
export function systemCpu(sysfs: Sysfs): CpuTimes | undefined {
  const lines = sysfs.readFile('/proc/stat')?.split('\n') ?? []
  const fields = lines
    .find((line) => line.startsWith('cpu '))
    ?.trim()
    .split(/\s+/)
    .slice(1, 9)
    .map(Number)
  if (fields === undefined || fields.length < 4 || !fields.every(Number.isFinite)) return undefined
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields
  return {
    busyMs: (user + nice + system + irq + softirq) * MS_PER_TICK,
    totalMs: fields.reduce((sum, ticks) => sum + ticks, 0) * MS_PER_TICK,
    cores: Math.max(1, lines.filter((line) => /^cpu\d/.test(line)).length),
  }
}

/** The same from the operating system's own call, for machines without /proc. */
export function portableSystemCpu(): CpuTimes | undefined {
  const all = cpus().map(({ times }) => ({
    busy: times.user + times.nice + times.sys + times.irq,
    idle: times.idle,
  }))
  if (all.length === 0) return undefined
  const busyMs = all.reduce((sum, core) => sum + core.busy, 0)
  return { busyMs, totalMs: busyMs + all.reduce((sum, core) => sum + core.idle, 0), cores: all.length }
}

export function loadBetween(before: CpuTimes, after: CpuTimes): CpuLoad {
  const total = after.totalMs - before.totalMs
  const busy = after.busyMs - before.busyMs
  // Two readings within one tick, or counters that ran backwards (the kernel says iowait may), say nothing.
  const busyShare = total > 0 ? Math.min(1, Math.max(0, busy / total)) : 0
  return { busyShare, cores: after.cores }
}

/**
 * CPU time one process has used since it started: user and system time in ms, 10 ms steps, children not included.
 * Undefined once the process is gone.
 */
export function processCpuMs(sysfs: Sysfs, pid: number): number | undefined {
  const stat = sysfs.readFile(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The name stands in brackets and may itself hold brackets and spaces: fields are safe only after the last one.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 1)
    .trim()
    .split(/\s+/)
  const ticks = Number(fields[11]) + Number(fields[12])
  return Number.isFinite(ticks) ? ticks * MS_PER_TICK : undefined
}
