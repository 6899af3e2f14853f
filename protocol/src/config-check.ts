import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { Default } from 'typebox/value'

/** All mistakes at once: a person who corrects a file should have to start only once more. */
export type ConfigRead<T> = { ok: true; value: T } | { ok: false; mistakes: string[] }

/** What of a JSON Schema this file reads. */
type Node = { type?: string; properties?: Record<string, Node>; additionalProperties?: boolean | Node }
type Tree = Record<string, unknown>

/**
 * Checks a configuration against its schema: fills in defaults, reads `10m` and `250MiB` where the key says
 * milliseconds or bytes, refuses unknown keys with the nearest known one, and freezes the result.
 * No I/O and no environment: both are the caller's.
 */
export function checkConfig<T extends TSchema>(schema: T, given: unknown): ConfigRead<Static<T>> {
  if (!isTree(given)) return { ok: false, mistakes: [`expected keys and values, found ${kindOf(given)}`] }
  const tidy = withUnits(given, '') as Tree
  const mistakes = unknownKeys(schema as Node, tidy, [])
  const value = Default(schema, tidy)
  for (const { keyword, instancePath, message, params } of mistakesIn(schema, value)) {
    // Both speak of unknown keys, which were named better above.
    if (keyword === 'additionalProperties' || keyword === 'boolean') continue
    const path = dotted(instancePath)
    const found = keyword === 'required' ? '' : `, found ${shown(at(value, instancePath))}`
    const allowed = 'allowedValues' in params ? `: ${(params.allowedValues as unknown[]).join(', ')}` : ''
    mistakes.push(`${path === '' ? '' : `\`${path}\` `}${message}${allowed}${found}`)
  }
  if (mistakes.length > 0) return { ok: false, mistakes: [...new Set(mistakes)] }
  return { ok: true, value: deepFreeze(value) as Static<T> }
}

type Mistake = { keyword: string; instancePath: string; message: string; params: object }

/** TypeBox stops at eight unless told otherwise, which would hide the rest of a bad file. */
function mistakesIn(schema: TSchema, value: unknown): Mistake[] {
  const before = Settings.Get().maxErrors
  Settings.Set({ maxErrors: 256 })
  try {
    return Compile(schema).Errors(value)
  } finally {
    Settings.Set({ maxErrors: before })
  }
}

/** `{ host: 'x' }` over `{ host: 'y', port: 1 }` is `{ host: 'x', port: 1 }`; undefined changes nothing. */
export function mergeConfig(below: Tree, above: Tree): Tree {
  const merged: Tree = { ...below }
  for (const [key, value] of Object.entries(above)) {
    if (value === undefined) continue
    const under = Object.hasOwn(merged, key) ? merged[key] : undefined
    merged[key] = isTree(value) && isTree(under) ? mergeConfig(under, value) : value
  }
  return merged
}

/**
 * `GODWIT_HUB__MQTT__PORT=1884` with prefix `GODWIT_HUB__` is `{ mqtt: { port: 1884 } }`. Case and single
 * underscores are ignored, so `PUBLIC_URL` finds `publicUrl`. A name that fits no key keeps its lower-case
 * spelling, and `checkConfig` then refuses it like a typo in the file.
 */
export function configFromEnv(
  schema: TSchema,
  env: Record<string, string | undefined>,
  prefix: string,
): Tree {
  let tree: Tree = {}
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(prefix) || text === undefined) continue
    const { path, node } = locate(schema as Node, name.slice(prefix.length).split('__'))
    tree = mergeConfig(
      tree,
      path.reduceRight<unknown>((value, key) => ({ [key]: value }), typed(node, text)) as Tree,
    )
  }
  return tree
}

function locate(schema: Node, words: string[]): { path: string[]; node: Node | undefined } {
  let node: Node | undefined = schema
  const path = words.map((word) => {
    const plain = word.replaceAll('_', '').toLowerCase()
    const key: string =
      Object.keys(node?.properties ?? {}).find((k) => k.toLowerCase() === plain) ?? word.toLowerCase()
    node = node?.properties && Object.hasOwn(node.properties, key) ? node.properties[key] : undefined
    return key
  })
  return { path, node }
}

/** An environment variable is always text; what it means is the schema's to say. */
function typed(node: Node | undefined, text: string): unknown {
  if (node?.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  const isNumber = (node?.type === 'integer' || node?.type === 'number') && /^-?\d+(\.\d+)?$/.test(text)
  return isNumber ? Number(text) : text
}

function unknownKeys(node: Node, value: Tree, path: string[]): string[] {
  const { properties } = node
  if (!properties) return []
  return Object.keys(value).flatMap((key) => {
    const child = value[key]
    if (Object.hasOwn(properties, key)) {
      return isTree(child) ? unknownKeys(properties[key]!, child, [...path, key]) : []
    }
    const near = nearest(key, Object.keys(properties))
    const place = path.length > 0 ? ` in \`${path.join('.')}\`` : ''
    return [`unknown key \`${key}\`${place}${near ? `, did you mean \`${near}\`?` : ''}`]
  })
}

/** The known word within two edits (one for short words), or undefined: a far guess is worse than none. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestBy = word.length <= 3 ? 2 : 3
  for (const candidate of known) {
    const by = edits(word.toLowerCase(), candidate.toLowerCase())
    if (by < bestBy) {
      bestBy = by
      best = candidate
    }
  }
  return best
}

/** Optimal string alignment: insertions, deletions, replacements, and swapped neighbours, the commonest slip. */
function edits(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) least = Math.min(least, rows[i - 2]![j - 2]! + 1)
      row.push(least)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}

const milliseconds: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const bytes: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

function withUnits(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withUnits(item, ''))
  if (isTree(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withUnits(v, k)]))
  if (typeof value !== 'string') return value
  const units = /Ms(Min|Max)?$/.test(key) ? milliseconds : /(?:^b|B)ytes(Min|Max)?$/.test(key) ? bytes : {}
  const [, count, unit] = /^(\d+) ?([A-Za-z]+)$/.exec(value) ?? []
  return unit !== undefined && Object.hasOwn(units, unit) ? Number(count) * units[unit]! : value
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  return Array.isArray(value) ? 'a list' : typeof value
}

function at(value: unknown, pointer: string): unknown {
  return parts(pointer).reduce<unknown>((tree, key) => (tree as Tree | undefined)?.[key], value)
}

function dotted(pointer: string): string {
  return parts(pointer).join('.')
}

function parts(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
