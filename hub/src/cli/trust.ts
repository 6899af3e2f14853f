import { type Key, keyIdOf } from '@godwit/protocol/trust/key'
import type { Root, Targets } from '@godwit/protocol/trust/metadata'
import { flawOfDelegations, isTeamName, signatoryOf } from '../trust/delegations.ts'
import {
  firstRoot,
  firstTargets,
  nextRoot,
  nextTargets,
  type OfflineRole,
  withoutTeam,
  withTeam,
} from './ceremony.ts'
import type { Shell } from './command.ts'
import { listingAtHub, rootAtHub, signedOnly, targetsAtHub } from './current-trust.ts'
import { nameOf, readRoot, readTargets, roleOf, writeDocument } from './documents.ts'
import { CliError } from './exit.ts'
import { readHubPublicKeys, readPublicKey, readPublicKeys } from './public-keys.ts'
import { wordsOf } from './words.ts'

export type InitOptions = {
  rootKey: string[]
  rootThreshold: number
  targetsKey: string[]
  targetsThreshold: number
  hubKeys: string
  out: string
  targetsOut: string
}

/** The first root and the first targets of a fleet, for their holders to sign. Needs no hub and no network. */
export async function initTrust(shell: Shell, options: InitOptions): Promise<void> {
  const online = readHubPublicKeys(options.hubKeys)
  const holders = {
    root: { keys: readPublicKeys(options.rootKey), threshold: options.rootThreshold },
    targets: { keys: readPublicKeys(options.targetsKey), threshold: options.targetsThreshold },
    snapshot: { keys: [online.snapshot], threshold: 1 },
    timestamp: { keys: [online.timestamp], threshold: 1 },
    director: { keys: [online.director], threshold: 1 },
  }
  const root = firstRoot(holders, shell.now())
  refuseFlawed(root)
  const targets = firstTargets(shell.now())
  writeDocument(options.out, { signed: root, signatures: [] })
  writeDocument(options.targetsOut, { signed: targets, signatures: [] })
  shell.out.print({ root: options.out, targets: options.targetsOut }, () =>
    [
      ...wordsOf(root, undefined, shell.now()),
      `written to ${options.out} and ${options.targetsOut}, unsigned`,
      `Next, on each holder's machine: godwit sign ${options.out} --key KEY --out NAME.sig.json`,
    ].join('\n'),
  )
}

export type RotateOptions = {
  addRootKey?: string[]
  removeRootKey?: string[]
  addTargetsKey?: string[]
  removeTargetsKey?: string[]
  rootThreshold?: number
  targetsThreshold?: number
  hubKeys?: string
  root?: string
  from?: string
  out: string
}

/** Root N+1 of the hub's current root, for the old and the new holders to sign. */
export async function rotateRoot(shell: Shell, options: RotateOptions): Promise<void> {
  const current = options.from ? readRoot(options.from) : await rootAtHub(shell.hub(), options.root)
  const { rootThreshold, targetsThreshold } = options
  const next = nextRoot(
    current,
    {
      add: {
        root: newKeys(current, 'root', options.addRootKey),
        targets: newKeys(current, 'targets', options.addTargetsKey),
      },
      remove: {
        root: heldKeyIds(current, 'root', options.removeRootKey),
        targets: heldKeyIds(current, 'targets', options.removeTargetsKey),
      },
      threshold: {
        ...(rootThreshold !== undefined && { root: rootThreshold }),
        ...(targetsThreshold !== undefined && { targets: targetsThreshold }),
      },
      ...(options.hubKeys !== undefined && { hubKeys: readHubPublicKeys(options.hubKeys) }),
    },
    shell.now(),
  )
  refuseFlawed(next)
  prepared(shell, next, current, options.out)
}

export type TeamOptions = { root?: string; from?: string; out: string }
export type DelegateOptions = TeamOptions & { prefix: string[]; key: string[]; threshold: number }

/** The next targets, which let a team release the models whose names begin with its prefixes. */
export async function delegate(shell: Shell, team: string, options: DelegateOptions): Promise<void> {
  if (!isTeamName(team))
    throw new CliError(
      'usage',
      'team_malformed',
      `expected a team of lower-case letters, digits and -, which is no role of the hub; found ${team}`,
    )
  const current = await currentTargets(shell, options)
  const keys = readPublicKeys(options.key)
  const { prefix: prefixes, threshold } = options
  refuseThreshold(`team ${team}`, keys.length, threshold)
  const next = withTeam(current, { name: team, prefixes, keys, threshold }, shell.now())
  const flaw = flawOfDelegations(next)
  if (flaw) throw new CliError('usage', 'delegation_refused', flaw.detail)
  prepared(shell, next, current, options.out)
}

export async function undelegate(shell: Shell, team: string, options: TeamOptions): Promise<void> {
  const current = await currentTargets(shell, options)
  if (!signatoryOf(team, current))
    throw new CliError('notFound', 'team_unknown', `targets ${current.version} delegate to no team ${team}`)
  prepared(shell, withoutTeam(current, team, shell.now()), current, options.out)
}

export type RenewOptions = TeamOptions & { team?: string }

/** The same list with a later expiry: once a year, and after a publisher's key was revoked. */
export async function renew(shell: Shell, options: RenewOptions): Promise<void> {
  if (options.from !== undefined) {
    const current = readTargets(options.from)
    return prepared(shell, nextTargets(current, {}, shell.now()), current, options.out)
  }
  const { document, isSigned } = await listingAtHub(shell.hub(), options, shell.now())
  if (!isSigned)
    shell.out.note(
      `${nameOf(document)} at the hub is not signed well enough any more: read every entry before you sign.`,
    )
  const next = nextTargets(document, {}, shell.now())
  // What nobody vouches for any more is no base to compare with: all of it is named.
  prepared(shell, next, isSigned ? document : undefined, options.out)
}

async function currentTargets(shell: Shell, { from, root }: TeamOptions): Promise<Targets> {
  if (from !== undefined) return readTargets(from)
  const hub = shell.hub()
  return signedOnly(await targetsAtHub(hub, await rootAtHub(hub, root)))
}

function newKeys(root: Root, role: OfflineRole, paths: readonly string[] = []): Key[] {
  const held = new Set(root.roles[role]!.keyids)
  const keys = readPublicKeys(paths)
  const known = keys.find((key) => held.has(keyIdOf(key)))
  if (!known) return keys
  throw new CliError(
    'usage',
    'key_known',
    `root ${root.version} lists key ${keyIdOf(known)} for ${role} already`,
  )
}

/** By key id, by its first eight digits or more, or by file. */
function heldKeyIds(root: Root, role: OfflineRole, names: readonly string[] = []): string[] {
  const { keyids } = root.roles[role]!
  return names.map((name) => {
    const wanted = /^[0-9a-f]{8,64}$/.test(name) ? name : keyIdOf(readPublicKey(name))
    const found = keyids.filter((keyid) => keyid.startsWith(wanted))
    if (found.length === 1) return found[0]!
    throw new CliError(
      'notFound',
      'key_unknown',
      `root ${root.version}: expected one key of ${role} to begin with ${wanted}, found ${found.length} of ${keyids.join(', ')}`,
    )
  })
}

function refuseFlawed(root: Root): void {
  for (const role of ['root', 'targets']) {
    const { keyids, threshold } = root.roles[role]!
    refuseThreshold(role, keyids.length, threshold)
  }
  const offline = new Set(['root', 'targets'].flatMap((role) => root.roles[role]!.keyids))
  for (const role of ['snapshot', 'timestamp', 'director']) {
    const keyid = root.roles[role]!.keyids.find((id) => offline.has(id))
    if (keyid !== undefined)
      throw new CliError('usage', 'key_online', `key ${keyid} of the hub must not be an offline key as well`)
  }
}

function refuseThreshold(role: string, keys: number, threshold: number): void {
  if (Number.isInteger(threshold) && threshold >= 1 && threshold <= keys) return
  throw new CliError(
    'usage',
    'threshold_impossible',
    `${role}: expected a threshold from 1 to the number of its keys, ${keys}; found ${threshold}`,
  )
}

function prepared(
  shell: Shell,
  next: Root | Targets,
  current: Root | Targets | undefined,
  out: string,
): void {
  writeDocument(out, { signed: next, signatures: [] })
  shell.out.print({ out, role: roleOf(next), version: next.version }, () =>
    [
      ...wordsOf(next, current, shell.now()),
      `written to ${out}, unsigned`,
      `Next: godwit sign ${out} --key KEY --out NAME.sig.json, then godwit trust assemble ${out} --signature NAME.sig.json --out SIGNED, then godwit trust push SIGNED`,
    ].join('\n'),
  )
}
