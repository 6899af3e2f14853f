import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { HubClient } from './client.ts'
import type { Target } from './context.ts'
import { rootAtHub } from './current-trust.ts'
import { readBytes } from './documents.ts'
import { CliError } from './exit.ts'

export type PinnedRoot = { root: string; sha256: string; words: string }

/**
 * The root that this machine will hold the hub to. From a file it is proved at once; without one the first meeting is
 * believed, as an SSH host key is, and a hub of another fleet at the same address is refused from then on.
 */
export async function pinRoot(
  hub: HubClient,
  known: Target | undefined,
  given: string | undefined,
): Promise<PinnedRoot> {
  if (given !== undefined) {
    await rootAtHub(hub, given)
    const bytes = readBytes(given)
    return pinned(bytes, `every root of this hub follows from ${given}`)
  }
  const first = await hub.bytes('/meta/1.root.json')
  const isKnown = known?.url === hub.url && known.root !== undefined
  if (isKnown && sha256Hex(Buffer.from(known.root!, 'base64')) !== sha256Hex(first))
    throw new CliError(
      'verification',
      'hub_untrusted',
      `${hub.url} served another first root before: expected ${sha256Hex(Buffer.from(known.root!, 'base64'))}, found ${sha256Hex(first)}`,
      'if it really is another fleet now: godwit context rm NAME, then log in again',
    )
  return pinned(
    first,
    'met for the first time: compare this with whoever made the fleet, or log in with --root FILE',
  )
}

function pinned(bytes: Uint8Array, words: string): PinnedRoot {
  const sha256 = sha256Hex(bytes)
  return { root: Buffer.from(bytes).toString('base64'), sha256, words: `root ${sha256}: ${words}` }
}
