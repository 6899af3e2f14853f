import { Fault } from '../fault.ts'
import { utf8 } from './encoding.ts'
import { loneSurrogate } from './strict-json.ts'

export { jsonDepthMax, parseStrict } from './strict-json.ts'

/**
 * The one spelling of a document that is signed: the OLPC canonical JSON of TUF (specification §4.1).
 * Keys sorted by code point, no white space, in strings only `"` and `\` escaped, integers only.
 *
 * Why no fractions: two languages print 0.1 + 0.2 differently, and a signature does not forgive that. So
 * TUF metadata, directives and reports carry integers with small units (millijoules, ppm, epoch ms).
 * Documents that need fractions (releases, profiles) are not spelled canonically: they travel as files
 * whose SHA-256 a signed document names.
 */
export function canonicalText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (Number.isSafeInteger(value)) return value.toString()
      throw new Fault('not-canonical', `canonical JSON holds integers up to 2^53 only, found ${value}`)
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`
      return objectText(value as Record<string, unknown>)
    default:
      throw new Fault('not-canonical', `canonical JSON cannot hold a value of type ${typeof value}`)
  }
}

/** The bytes that signatures are made over. */
export function canonicalBytes(value: unknown): Uint8Array {
  return utf8(canonicalText(value))
}

/** An absent property and one set to undefined are the same document. */
function objectText(object: Record<string, unknown>): string {
  const keys = Object.keys(object).filter((key) => object[key] !== undefined)
  return `{${keys
    .sort(byCodePoint)
    .map((key) => `${quote(key)}:${canonicalText(object[key])}`)
    .join(',')}}`
}

function quote(text: string): string {
  if (loneSurrogate.test(text)) throw new Fault('not-canonical', 'a string holds a lone surrogate')
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** The default sort compares UTF-16 units, which puts U+1F600 before U+FF5E; Python and C do not. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left === right) continue
    const leftIsPair = isSurrogate(left)
    if (leftIsPair !== isSurrogate(right)) return leftIsPair ? 1 : -1
    return left - right
  }
  return a.length - b.length
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
