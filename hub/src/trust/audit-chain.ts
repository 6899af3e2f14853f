import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalBytes } from '@godwit/protocol/trust/canonical'

/** An entry as it is hashed. `detail` is JSON text, because evidence holds fractions and canonical JSON does not. */
export type ChainedEntry = {
  id: number
  at: number
  who: string
  action: string
  subject: string
  detail: string
  previousHash: string
  hash: string
}
export type ChainEnd = Pick<ChainedEntry, 'id' | 'hash'>

/** What the first entry follows. */
export const beginning: ChainEnd = { id: 0, hash: '0'.repeat(64) }

/** The number is covered too: entries that were renumbered to hide a missing one do not have their hashes. */
export function hashOfEntry(entry: Omit<ChainedEntry, 'hash'>): string {
  const { id, at, who, action, subject, detail, previousHash } = entry
  return sha256Hex(canonicalBytes({ id, at, who, action, subject, detail, previousHash }))
}

export type ChainFlaw = {
  because: 'entry_missing' | 'entry_out_of_order' | 'entry_changed' | 'chain_broken'
  detail: string
}

/** Does this entry follow from the one before it? */
export function flawOfNext(previous: ChainEnd, entry: ChainedEntry): ChainFlaw | undefined {
  const { id } = entry
  const expected = previous.id + 1
  if (id > expected) return { because: 'entry_missing', detail: `expected entry ${expected}, found ${id}` }
  if (id < expected)
    return { because: 'entry_out_of_order', detail: `expected entry ${expected}, found ${id}` }
  if (entry.hash !== hashOfEntry(entry))
    return { because: 'entry_changed', detail: `entry ${id} is not the one that its hash was made over` }
  if (entry.previousHash === previous.hash) return undefined
  return { because: 'chain_broken', detail: `entry ${id} does not follow from entry ${previous.id}` }
}
