import { isDelegated } from '@godwit/protocol/trust/delegation'
import {
  type DelegatedRole,
  ed25519Only,
  type Key,
  openMetadata,
  type RoleKeys,
  type Targets,
  verifyThreshold,
} from '@godwit/protocol/trust/metadata'
import { type Refused, refuse } from '@godwit/protocol/trust/refusal'

/**
 * Delegation as this hub serves it: one level, by a prefix of model names. Narrower than TUF allows, so that who may
 * release a model can be read off its name, and no team stands in another's way.
 */

/** Lower case, because a device may keep metadata on a file system that does not tell cases apart. */
export const teamPattern = /^[a-z0-9][a-z0-9-]{0,39}$/
const reserved = new Set(['root', 'targets', 'snapshot', 'timestamp', 'director'])
const pathPattern = /^([A-Za-z0-9_-]{1,64})\*\/\*\/release\.json$/

/** Every release of every model whose name begins so. */
export function pathsOfPrefix(prefix: string): string {
  return `${prefix}*/*/release.json`
}

export function prefixOf(path: string): string | undefined {
  return pathPattern.exec(path)?.[1]
}

export function isTeamName(name: string): boolean {
  return teamPattern.test(name) && !reserved.has(name)
}

/** Undefined when top-level targets delegate only what this hub can serve. */
export function flawOfDelegations(targets: Targets): Refused | undefined {
  const taken: { team: string; prefix: string }[] = []
  for (const role of targets.delegations?.roles ?? []) {
    if (!isTeamName(role.name)) return refuse('unknown-role', `targets: ${role.name} is no name for a team`)
    if (!role.paths?.length) return refuse('unknown-role', `targets: ${role.name} is delegated no paths`)
    const keys = new Set(role.keyids)
    if (keys.size < role.threshold)
      return refuse(
        'unknown-role',
        `targets: ${role.name} needs ${role.threshold} signatures and has ${keys.size} keys`,
      )
    for (const path of role.paths) {
      const prefix = prefixOf(path)
      if (prefix === undefined)
        return refuse(
          'unknown-role',
          `targets: ${role.name}: expected paths as ${pathsOfPrefix('PREFIX')}, found ${path}`,
        )
      const other = taken.find((one) => one.prefix.startsWith(prefix) || prefix.startsWith(one.prefix))
      if (other)
        return refuse(
          'unknown-role',
          `targets: ${role.name} with prefix ${prefix} overlaps ${other.team} with prefix ${other.prefix}`,
        )
      taken.push({ team: role.name, prefix })
    }
  }
  return undefined
}

/** Whoever may sign a targets document, and what about; `delegated` is absent for the top-level role. */
export type Signatory = { name: string; keys: Record<string, Key>; role: RoleKeys; delegated?: DelegatedRole }

export function signatoryOf(team: string, targets: Targets): Signatory | undefined {
  const delegated = targets.delegations?.roles?.find(({ name }) => name === team)
  return delegated && { name: team, keys: targets.delegations!.keys, role: delegated, delegated }
}

/** The document, if its signatures still count under the keys that hold now. */
export function stillSigned(bytes: Uint8Array, { keys, role }: Signatory): Targets | undefined {
  const opened = openMetadata(bytes, 'targets', ed25519Only)
  if (!opened.trusted || !verifyThreshold(opened.value, keys, role, ed25519Only).trusted) return undefined
  return opened.value.signed
}

/** Of what a document lists, what its signatory may speak about. */
export function pathsListedBy(document: Targets, { delegated }: Signatory): string[] {
  return Object.keys(document.targets).filter((path) => !delegated || isDelegated(delegated, path))
}
