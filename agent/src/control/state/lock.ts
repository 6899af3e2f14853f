import { rmSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import { readIfReadable, writeDurably } from '../files.ts'
import type { Paths } from '../paths.ts'
import { identityIn, identityOf, isAlive, type ProcessIdentity } from './process-identity.ts'

/**
 * One agent per state directory: two would give out the same sequence numbers twice. A lock left behind by a power cut
 * must never keep the device from starting, so the holder is recognised by boot and start time, not by its number.
 */
export function takeLock(paths: Paths): () => void {
  const holder = holderIn(readIfReadable(paths.lock)?.toString())
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

function holderIn(text: string | undefined): ProcessIdentity | undefined {
  try {
    return identityIn(JSON.parse(text ?? ''))
  } catch {
    return undefined
  }
}
