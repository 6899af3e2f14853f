import { checkNextRoot } from '@godwit/protocol/trust/checks'
import { ed25519Only, type Root, type Targets } from '@godwit/protocol/trust/metadata'
import { type Signatory, signatoryOf, stillSigned } from '../trust/delegations.ts'
import { asTeam } from '../trust/team.ts'
import { firstTargets } from './ceremony.ts'
import type { HubClient } from './client.ts'
import { digestOf, openDocument, readRoot, rootOf } from './documents.ts'
import { CliError } from './exit.ts'

/** What one role has signed last, who may sign its next, and whether its signatures still count. */
export type Listing = { signatory: Signatory; document: Targets; isSigned: boolean }

/**
 * The root that the hub serves now, followed from one that is trusted already, so that a hub in the wrong hands cannot
 * offer keys of its own. Believed as it is only from a hub that was given by address, without a context.
 *
 * @param given path of the root to begin from; the one that was pinned at login if absent
 */
export async function rootAtHub(hub: HubClient, given?: string): Promise<Root> {
  const { signed } = openDocument(await hub.bytes('/api/v1/metadata/root'), "the hub's root").envelope
  const newest = signed as Root
  if (given === undefined && hub.pinnedRoot === undefined) return newest
  const pinned = given ?? 'the one pinned at login'
  let trusted = given === undefined ? rootOf(hub.pinnedRoot!, pinned) : readRoot(given)
  while (trusted.version < newest.version) {
    const bytes = await hub.bytes(`/meta/${trusted.version + 1}.root.json`)
    const next = checkNextRoot(trusted, bytes, ed25519Only)
    if (!next.trusted) throw untrusted(`following the roots from ${pinned}: ${next.detail}`)
    trusted = next.value
  }
  if (trusted.version > newest.version)
    throw untrusted(
      `expected at least root ${trusted.version}, which ${pinned} holds; the hub serves root ${newest.version}`,
    )
  // Of the same version there must be one document, or the hub is another fleet's.
  if (digestOf(trusted) !== digestOf(newest))
    throw untrusted(
      `root ${newest.version} at the hub is not the one that follows from ${pinned}`,
      'is it another fleet at the same address? then godwit context rm NAME, and godwit login again',
    )
  return trusted
}

export async function targetsAtHub(hub: HubClient, root: Root): Promise<Listing> {
  const signatory = { name: 'targets', keys: root.keys, role: root.roles['targets']! }
  return listing(await hub.bytes('/api/v1/metadata/targets'), signatory)
}

/** What a team has signed last; an empty document of version 0 before its first. */
export async function teamAtHub(
  hub: HubClient,
  targets: Targets,
  team: string,
  now: number,
): Promise<Listing> {
  const signatory = signatoryOf(team, targets)
  if (!signatory)
    throw new CliError(
      'notFound',
      'team_unknown',
      `the targets delegate to no team ${team}`,
      'godwit trust delegate TEAM --prefix PREFIX --key FILE',
    )
  const bytes = await bytesIfThere(hub, `/api/v1/metadata/teams/${encodeURIComponent(team)}`)
  if (bytes) return listing(bytes, signatory)
  return { signatory, document: asTeam({ ...firstTargets(now), version: 0 }, team), isSigned: true }
}

/** The top-level targets, or those of a team that they delegate to. */
export async function listingAtHub(
  hub: HubClient,
  options: { root?: string; team?: string },
  now: number,
): Promise<Listing> {
  const top = await targetsAtHub(hub, await rootAtHub(hub, options.root))
  return options.team === undefined ? top : teamAtHub(hub, signedOnly(top), options.team, now)
}

/** A hub in the wrong hands could slip an entry in; nobody signs on top of what is not signed. */
export function signedOnly({ signatory, document, isSigned }: Listing): Targets {
  if (isSigned) return document
  throw untrusted(
    `${signatory.name} ${document.version} at the hub does not carry ${signatory.role.threshold} valid signatures of its keys`,
    'after a key was revoked: look through it, then godwit trust renew',
  )
}

function listing(bytes: Uint8Array, signatory: Signatory): Listing {
  const { signed } = openDocument(bytes, `${signatory.name} at the hub`).envelope
  return { signatory, document: signed as Targets, isSigned: stillSigned(bytes, signatory) !== undefined }
}

async function bytesIfThere(hub: HubClient, path: string): Promise<Uint8Array | undefined> {
  try {
    return await hub.bytes(path)
  } catch (error) {
    if (error instanceof CliError && error.exit === 'notFound') return undefined
    throw error
  }
}

function untrusted(message: string, hint?: string): CliError {
  return new CliError('verification', 'hub_untrusted', message, hint)
}
