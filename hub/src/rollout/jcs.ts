/**
 * JSON as RFC 8785 spells it: members sorted by UTF-16 code units, no white space, numbers and strings as ECMAScript
 * writes them. Unlike the canonical form of signed documents it has fractions, and plans have limits such as 0.02.
 */
export function jcsText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jcsText).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  // Compared by code unit, which is what the bare operators do with strings.
  const sorted = members.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([name, member]) => `${JSON.stringify(name)}:${jcsText(member)}`).join(',')}}`
}
