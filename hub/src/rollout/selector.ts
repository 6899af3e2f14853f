/** One condition on a device's labels. `in` with absent key is false; `not_in` with absent key is true (as Kubernetes). */
export type Requirement =
  | { key: string; op: 'in' | 'not_in'; values: readonly string[] }
  | { key: string; op: 'exists' | 'absent' }

export type ParsedSelector = { ok: true; requirements: Requirement[] } | { ok: false; detail: string }

const key = '(?:labels\\.)?([A-Za-z0-9_.-]{1,64})'
const value = '[^\\s,()=!"]{1,128}'
const forms: readonly [RegExp, (match: RegExpExecArray) => Requirement][] = [
  [new RegExp(`^${key}\\s*!=\\s*(${value})$`), (m) => ({ key: m[1]!, op: 'not_in', values: [m[2]!] })],
  [new RegExp(`^${key}\\s*==?\\s*(${value})$`), (m) => ({ key: m[1]!, op: 'in', values: [m[2]!] })],
  [
    new RegExp(`^${key}\\s+(in|notin)\\s*\\(\\s*(${value}(?:\\s*,\\s*${value})*)\\s*\\)$`),
    (m) => ({
      key: m[1]!,
      op: m[2] === 'in' ? 'in' : 'not_in',
      values: m[3]!.split(',').map((v) => v.trim()),
    }),
  ],
  [new RegExp(`^!\\s*${key}$`), (m) => ({ key: m[1]!, op: 'absent' })],
  [new RegExp(`^${key}$`), (m) => ({ key: m[1]!, op: 'exists' })],
]

/** `group=line-3, site in (a,b), !pilot`: all must hold. The empty selector selects everybody. */
export function parseSelector(text: string): ParsedSelector {
  if (text.length > 2_048) return { ok: false, detail: `selector: ${text.length} characters, at most 2048` }
  const requirements: Requirement[] = []
  for (const part of splitOutsideParentheses(text)) {
    if (part === '' && text.trim() === '') continue
    const requirement = readRequirement(part)
    if (!requirement) {
      const forms = 'key=value, key!=value, key in (a,b), key notin (a,b), key or !key'
      return { ok: false, detail: `selector: cannot read "${part}"; expected ${forms}` }
    }
    requirements.push(requirement)
  }
  return { ok: true, requirements }
}

function readRequirement(part: string): Requirement | undefined {
  for (const [form, build] of forms) {
    const match = form.exec(part)
    if (match) return build(match)
  }
  return undefined
}

/** `id` and `labels.id` are the device's own name, whatever its labels say. */
export function selects(
  requirements: readonly Requirement[],
  device: { id: string; labels: Record<string, string> },
): boolean {
  return requirements.every((requirement) => {
    const found = requirement.key === 'id' ? device.id : own(device.labels, requirement.key)
    return holds(requirement, found)
  })
}

function holds(requirement: Requirement, found: string | undefined): boolean {
  switch (requirement.op) {
    case 'exists':
      return found !== undefined
    case 'absent':
      return found === undefined
    case 'in':
      return found !== undefined && requirement.values.includes(found)
    case 'not_in':
      return found === undefined || !requirement.values.includes(found)
  }
}

function own(labels: Record<string, string>, name: string): string | undefined {
  return Object.hasOwn(labels, name) ? labels[name] : undefined
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let from = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++
    else if (text[i] === ')') depth--
    else if (text[i] === ',' && depth <= 0) {
      parts.push(text.slice(from, i).trim())
      from = i + 1
    }
  }
  parts.push(text.slice(from).trim())
  return parts
}
