import { type Key, keyIdOf } from '@godwit/protocol/trust/key'
import {
  type DelegatedRole,
  type Root,
  specVersion,
  type TargetFile,
  type Targets,
} from '@godwit/protocol/trust/metadata'
import { toRfc3339 } from '@godwit/protocol/units'
import { pathsOfPrefix } from '../trust/delegations.ts'
import type { OnlineRole } from '../trust/hub-keys.ts'

const day = 86_400_000

/** How long signed documents stay valid. Root and targets are renewed by people, so they live a year. */
export const validity = { rootMs: 365 * day, targetsMs: 365 * day }

export type RoleHolders = { keys: readonly Key[]; threshold: number }
export type OfflineRole = 'root' | 'targets'

/**
 * The first root of a fleet: which keys may sign what, and how many of them must. Root and targets belong to people
 * and stay offline; snapshot, timestamp and director belong to the hub.
 */
export function firstRoot(holders: Record<OfflineRole | OnlineRole, RoleHolders>, now: number): Root {
  return rootOf(1, holders, now)
}

export type RootChange = {
  add?: Partial<Record<OfflineRole, readonly Key[]>>
  remove?: Partial<Record<OfflineRole, readonly string[]>>
  threshold?: Partial<Record<OfflineRole, number>>
  hubKeys?: Record<OnlineRole, Key>
}

/** Root N+1. Keys that no role names any more are left out. */
export function nextRoot(current: Root, change: RootChange, now: number): Root {
  const held = (role: string): RoleHolders => {
    const { keyids, threshold } = current.roles[role]!
    return { keys: keyids.map((keyid) => current.keys[keyid]!), threshold }
  }
  const offline = (role: OfflineRole): RoleHolders => {
    const { keys, threshold } = held(role)
    const gone = new Set(change.remove?.[role])
    const kept = [...keys, ...(change.add?.[role] ?? [])].filter((key) => !gone.has(keyIdOf(key)))
    return { keys: kept, threshold: change.threshold?.[role] ?? threshold }
  }
  const online = (role: OnlineRole): RoleHolders =>
    change.hubKeys ? { keys: [change.hubKeys[role]], threshold: 1 } : held(role)
  const holders = {
    root: offline('root'),
    targets: offline('targets'),
    snapshot: online('snapshot'),
    timestamp: online('timestamp'),
    director: online('director'),
  }
  return rootOf(current.version + 1, holders, now)
}

function rootOf(version: number, holders: Record<string, RoleHolders>, now: number): Root {
  const keys: Record<string, Key> = {}
  const roles: Record<string, { keyids: string[]; threshold: number }> = {}
  for (const [role, { keys: held, threshold }] of Object.entries(holders)) {
    for (const key of held) keys[keyIdOf(key)] = key
    roles[role] = { keyids: held.map(keyIdOf), threshold }
  }
  return {
    _type: 'root',
    spec_version: specVersion,
    version,
    expires: toRfc3339(now + validity.rootMs),
    consistent_snapshot: true,
    keys,
    roles: roles as Root['roles'],
  }
}

export function firstTargets(now: number): Targets {
  return {
    _type: 'targets',
    spec_version: specVersion,
    version: 1,
    expires: toRfc3339(now + validity.targetsMs),
    targets: {},
  }
}

/** The next targets: everything that was listed, with one entry more, changed or gone. None changed: only renewed. */
export function nextTargets(
  current: Targets,
  change: Record<string, TargetFile | undefined>,
  now: number,
): Targets {
  const targets = { ...current.targets }
  for (const [path, file] of Object.entries(change)) {
    if (file) targets[path] = file
    else delete targets[path]
  }
  return { ...current, version: current.version + 1, expires: toRfc3339(now + validity.targetsMs), targets }
}

export type Team = { name: string; prefixes: readonly string[] } & RoleHolders

/** The next targets, which let a team release under its prefixes. A team of that name is replaced. */
export function withTeam(current: Targets, team: Team, now: number): Targets {
  const role: DelegatedRole = {
    name: team.name,
    keyids: team.keys.map(keyIdOf),
    threshold: team.threshold,
    // Nobody after the team is asked about its models.
    terminating: true,
    paths: team.prefixes.map(pathsOfPrefix),
  }
  const keys = { ...current.delegations?.keys }
  for (const key of team.keys) keys[keyIdOf(key)] = key
  const others = (current.delegations?.roles ?? []).filter(({ name }) => name !== team.name)
  return delegating(nextTargets(current, {}, now), keys, [...others, role])
}

/** The next targets, without this team: its releases are listed no longer. */
export function withoutTeam(current: Targets, team: string, now: number): Targets {
  const others = (current.delegations?.roles ?? []).filter(({ name }) => name !== team)
  return delegating(nextTargets(current, {}, now), current.delegations?.keys ?? {}, others)
}

function delegating(targets: Targets, keys: Record<string, Key>, roles: DelegatedRole[]): Targets {
  const { delegations: _, ...rest } = targets
  if (roles.length === 0) return rest
  const used = new Set(roles.flatMap(({ keyids }) => keyids))
  return {
    ...rest,
    delegations: { keys: Object.fromEntries(Object.entries(keys).filter(([id]) => used.has(id))), roles },
  }
}
