import { sha256 } from '#crypto'
import { toHex, utf8 } from './encoding.ts'
import type { DelegatedRole } from './metadata.ts'

/** May this role speak about this path? A role with neither paths nor prefixes may speak about none (TUF §4.5). */
export function isDelegated(role: DelegatedRole, path: string): boolean {
  if (role.paths) return role.paths.some((pattern) => matchesPattern(pattern, path))
  if (!role.path_hash_prefixes) return false
  const digest = toHex(sha256(utf8(path)))
  return role.path_hash_prefixes.some((prefix) => digest.startsWith(prefix.toLowerCase()))
}

/**
 * PATHPATTERN of TUF §4.5: shell globbing where no wildcard matches a `/`. So `*.tgz` is `foo.tgz` but not
 * `targets/foo.tgz`. Case-sensitive everywhere, whatever the file system thinks.
 */
export function matchesPattern(pattern: string, path: string): boolean {
  const patterns = pattern.split('/')
  const segments = path.split('/')
  return patterns.length === segments.length && patterns.every((p, i) => matchesSegment(p, segments[i]!))
}

/**
 * One path segment. Remembers only the latest `*`, which suffices and keeps the work below
 * pattern times text; as a regular expression `*a*a*a*b` would take exponential time.
 */
function matchesSegment(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern)
  const characters = Array.from(text)
  let t = 0
  let c = 0
  let star = -1
  let starEnd = 0
  while (c < characters.length) {
    const token = tokens[t]
    if (token === 'any') {
      star = t++
      starEnd = c
    } else if (token?.(characters[c]!)) {
      t++
      c++
    } else if (star >= 0) {
      t = star + 1
      c = ++starEnd
    } else return false
  }
  while (tokens[t] === 'any') t++
  return t === tokens.length
}

type Token = 'any' | ((character: string) => boolean)

function tokensOf(pattern: string): Token[] {
  const characters = Array.from(pattern)
  const tokens: Token[] = []
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!
    // A `]` right after the opening bracket is a member, as in glob(7); an unclosed `[` is itself.
    const close = character === '[' ? characters.indexOf(']', i + (characters[i + 1] === '!' ? 3 : 2)) : -1
    if (character === '*') tokens.push('any')
    else if (character === '?') tokens.push(() => true)
    else if (close > 0) {
      tokens.push(classOf(characters.slice(i + 1, close)))
      i = close
    } else tokens.push((other) => other === character)
  }
  return tokens
}

/** `[abc]`, `[a-z]`, `[!a-z]`. */
function classOf(inside: string[]): Token {
  const isNegated = inside[0] === '!'
  const members = isNegated ? inside.slice(1) : inside
  return (character) => {
    for (let i = 0; i < members.length; i++) {
      const low = members[i]!
      const isRange = members[i + 1] === '-' && i + 2 < members.length
      const high = isRange ? members[i + 2]! : low
      if (isRange) i += 2
      if (codeOf(character) >= codeOf(low) && codeOf(character) <= codeOf(high)) return !isNegated
    }
    return isNegated
  }
}

function codeOf(character: string): number {
  return character.codePointAt(0)!
}
