import { checkFresh } from '@godwit/protocol/trust/checks'
import { keyIdOf } from '@godwit/protocol/trust/key'
import { own, type Root } from '@godwit/protocol/trust/metadata'
import { type Refused, refuse } from '@godwit/protocol/trust/refusal'
import { type HubKeys, onlineRoles, publicHubKeys } from './hub-keys.ts'

/** May this hub serve under this root? Its signatures are others' business. */
export function flawOfRoot(root: Root, keys: HubKeys, now: number): Refused | undefined {
  return checkFresh('root', root, now) ?? flawOfThreshold(root) ?? flawOfOnlineKeys(root, keys)
}

/** More signatures than there are keys: nobody could release anything under it, nor take anything back. */
function flawOfThreshold(root: Root): Refused | undefined {
  const { keyids, threshold } = root.roles['targets']!
  const keys = new Set(keyids.filter((keyid) => Object.hasOwn(root.keys, keyid))).size
  if (keys >= threshold) return undefined
  return refuse(
    'unknown-role',
    `root ${root.version}: targets needs ${threshold} signatures and has ${keys} keys`,
  )
}

/** A root that forgets the hub's own keys would leave it unable to sign anything a device believes. */
export function flawOfOnlineKeys(root: Root, keys: HubKeys): Refused | undefined {
  const held = publicHubKeys(keys)
  for (const role of onlineRoles) {
    const named = own(root.roles, role)
    if (!named) return refuse('unknown-role', `root ${root.version} names no ${role}`)
    const keyid = keyIdOf(held[role])
    if (!named.keyids.includes(keyid)) {
      return refuse('unknown-role', `root ${root.version}: ${role} must name this hub's key ${keyid}`)
    }
    if (named.threshold !== 1) {
      return refuse(
        'unknown-role',
        `root ${root.version}: ${role} needs ${named.threshold} signatures, the hub has 1`,
      )
    }
  }
  return undefined
}
