import type { Targets } from '@godwit/protocol/trust/metadata'

/**
 * TUF does not write into a delegated document whose it is. We do, as one more signed field, so that a signer can
 * see it, and a document signed for one team is worth nothing to another with the same key.
 */
const field = 'godwit_team'

/** Undefined for top-level targets. */
export function teamOf(targets: Targets): string | undefined {
  const team = (targets as Record<string, unknown>)[field]
  return typeof team === 'string' ? team : undefined
}

export function asTeam(targets: Targets, team: string | undefined): Targets {
  return team === undefined ? targets : ({ ...targets, [field]: team } as Targets)
}
