import { topics } from '@godwit/protocol/topics'
import type { Trust } from '../trust/trust.ts'

/**
 * Puts the documents where those heard over MQTT lie: what becomes of them is decided by the same lines. Root first and
 * the timestamp last, as the hub publishes them.
 */
export function hearMetadata(trust: Trust, fleet: string, files: ReadonlyMap<string, Uint8Array>): void {
  const named = [...files].flatMap(([name, bytes]) => {
    const match = /^(?:([1-9][0-9]*)\.)?(.+)\.json$/.exec(name)
    if (!match) return []
    const role = roleOf(match[2]!)
    return role === undefined ? [] : [{ role, version: match[1], bytes }]
  })
  const rank = (role: string) => (role === 'root' ? 0 : role === 'timestamp' ? 2 : 1)
  for (const { role, version, bytes } of named.sort((a, b) => rank(a.role) - rank(b.role)))
    trust.heard(
      topics.meta(fleet, role, version === undefined ? undefined : Number(version)),
      bytes,
      'medium',
    )
}

/** File names carry role names percent-encoded. */
function roleOf(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}
