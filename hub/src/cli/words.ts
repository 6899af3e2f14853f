import { maxStalenessMsOf } from '@godwit/protocol/trust/held'
import type { RoleKeys, Root, Targets } from '@godwit/protocol/trust/metadata'
import { fromRfc3339 } from '@godwit/protocol/units'
import { prefixOf } from '../trust/delegations.ts'
import { digestOf, nameOf, roleOf } from './documents.ts'
import { cleaned } from './output.ts'

const day = 86_400_000
/** Beyond that nobody reads on; the count says how many there are. */
const linesMax = 40

/**
 * What a signature over this document says, for the person who is about to give it.
 *
 * @param previous the document that it replaces; without it every entry is named instead of every change
 */
export function wordsOf(
  document: Root | Targets,
  previous: Root | Targets | undefined,
  now: number,
): string[] {
  const days = Math.floor((fromRfc3339(document.expires) - now) / day)
  const validity = days >= 0 ? `in ${days} days` : `${-days} days ago`
  const lines = [
    `${nameOf(document)}, valid until ${document.expires} (${validity})`,
    `SHA-256 of what is signed: ${digestOf(document)}`,
    previous ? `Changes against ${nameOf(previous)}:` : 'It says:',
  ]
  const before = previous && factsOf(previous)
  const after = factsOf(document)
  const facts = before ? changesOf(before, after) : [...after].map(([name, fact]) => `  ${name}: ${fact}`)
  if (facts.length === 0) facts.push(before ? '  none but the version and the expiry' : '  nothing')
  const shown = facts.slice(0, linesMax)
  if (facts.length > linesMax) shown.push(`  … and ${facts.length - linesMax} more`)
  return [...lines, ...shown].map((line) => cleaned(line))
}

/** Why these two are no neighbours; undefined when one replaces the other. */
export function flawOfPrevious(previous: Root | Targets, next: Root | Targets): string | undefined {
  if (roleOf(previous) !== roleOf(next)) return `expected ${roleOf(next)}, found ${roleOf(previous)}`
  if (previous.version === next.version - 1) return undefined
  return `expected version ${next.version - 1}, found ${previous.version}`
}

function factsOf(document: Root | Targets): Map<string, string> {
  const facts = new Map<string, string>()
  if (document._type === 'root') {
    for (const [role, holders] of Object.entries(document.roles)) addHolders(facts, role, holders)
    return facts
  }
  for (const [path, file] of Object.entries(document.targets)) {
    const { hashes, length } = file
    const lateDays = maxStalenessMsOf(file) / day
    const grace = lateDays > 0 ? `, installable ${lateDays} days after metadata has expired` : ''
    facts.set(
      `release ${path.replace(/\/release\.json$/, '')}`,
      `${hashes['sha256']} (${length} bytes)${grace}`,
    )
  }
  for (const role of document.delegations?.roles ?? []) {
    const paths = (role.paths ?? []).map((path) => `${prefixOf(path) ?? path}*`)
    facts.set(`team ${role.name} may release`, paths.join(', '))
    addHolders(facts, `team ${role.name}`, role)
  }
  return facts
}

function addHolders(facts: Map<string, string>, role: string, { keyids, threshold }: RoleKeys): void {
  facts.set(`${role} needs`, `${threshold} of ${keyids.length} signatures`)
  for (const keyid of keyids) facts.set(`${role} key ${keyid}`, 'may sign')
}

function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const changes: string[] = []
  for (const [name, fact] of after) {
    const old = before.get(name)
    if (old === undefined) changes.push(`  + ${name}: ${fact}`)
    else if (old !== fact) changes.push(`  ~ ${name}: ${fact}, was ${old}`)
  }
  for (const [name, fact] of before) if (!after.has(name)) changes.push(`  - ${name}: ${fact}`)
  return changes
}
