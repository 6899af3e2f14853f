import { readFileSync, rmSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import { readIfThere, writeDurably } from '../files.ts'
import type { Paths } from '../paths.ts'

type Holder = { pid: number; boot: string; started: string }

/**
 * One agent per state directory: two would give out the same sequence numbers twice. A lock left behind by a power cut
 * must never keep the device from starting, so the holder is recognised by boot and start time, not by its number.
 */
export function takeLock(paths: Paths): () => void {
  const holder = holderIn(readIfThere(paths.lock)?.toString())
  if (holder && holder.pid !== process.pid && isAlive(holder))
    throw new Fault('state-in-use', `${paths.root} is used by the agent with process id ${holder.pid}`)
  try {
    writeDurably(paths.lock, `${JSON.stringify(identityOf(process.pid))}\n`)
  } catch {
    // A disk that takes no lock takes no sequence numbers either.
    return () => {}
  }
  return () => rmSync(paths.lock, { force: true })
}

function holderIn(text: string | undefined): Holder | undefined {
  try {
    const { pid, boot, started } = JSON.parse(text ?? '') as Partial<Holder>
    return pid !== undefined && boot !== undefined && started !== undefined
      ? { pid, boot, started }
      : undefined
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder): boolean {
  const now = identityOf(holder.pid)
  return now.started !== '' && now.boot === holder.boot && now.started === holder.started
}

function identityOf(pid: number): Holder {
  const stat = textOf(`/proc/${pid}/stat`)
  // Field 22, counted from behind the bracketed name: start time in ticks since boot.
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  return { pid, boot: textOf('/proc/sys/kernel/random/boot_id').trim(), started }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
