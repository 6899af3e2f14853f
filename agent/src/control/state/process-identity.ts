import { readFileSync } from 'node:fs'

/** A process, told apart from a later one that was given the same number. `started` is in ticks since `boot`. */
export type ProcessIdentity = { pid: number; boot: string; started: string }

/** `started` is empty where there is no such process, or only what is left of one. */
export function identityOf(pid: number): ProcessIdentity {
  const stat = textOf(`/proc/${pid}/stat`)
  // Fields 3 and 22, counted from behind the bracketed name, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const isOver = fields[0] === 'Z' || fields[0] === 'X'
  return { pid, boot: bootId(), started: isOver ? '' : (fields[19] ?? '') }
}

export function isAlive(known: ProcessIdentity): boolean {
  const now = identityOf(known.pid)
  return now.started !== '' && now.boot === known.boot && now.started === known.started
}

/** Undefined when it is none. */
export function identityIn(value: unknown): ProcessIdentity | undefined {
  const { pid, boot, started } = (value ?? {}) as Partial<ProcessIdentity>
  if (!Number.isSafeInteger(pid) || typeof boot !== 'string' || typeof started !== 'string') return undefined
  return { pid: pid!, boot, started }
}

/** Program and arguments; empty when the process is gone. */
export function commandOf(pid: number): string[] {
  return textOf(`/proc/${pid}/cmdline`).split('\0')
}

function bootId(): string {
  return textOf('/proc/sys/kernel/random/boot_id').trim()
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
