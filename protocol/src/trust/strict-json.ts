import type { Read } from '../schema.ts'

/** Objects and arrays within each other. TUF metadata needs 6; deeper input only wants to exhaust a stack. */
export const jsonDepthMax = 32

/**
 * JSON as two parties must both understand it, or not at all. JSON.parse keeps the last of two equal keys,
 * other parsers the first: a signature could cover one reading and a device obey the other. So refused here:
 * duplicate keys, invalid UTF-8, a byte order mark, lone surrogates (they have no UTF-8 form to sign), deep
 * nesting, and numbers that JavaScript cannot hold. `__proto__` becomes an ordinary own property.
 */
export function parseStrict(bytes: Uint8Array, depthMax = jsonDepthMax): Read<unknown> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { ok: true, value: readDocument(text, depthMax) }
  } catch (error) {
    if (error instanceof BadJson) return { ok: false, detail: error.message }
    if (error instanceof TypeError) return { ok: false, detail: 'not valid UTF-8' }
    throw error
  }
}

/** With the u flag a pair is one character, so this finds only halves. They have no UTF-8 form. */
export const loneSurrogate = /\p{Surrogate}/u

/** Stays in this file: the way out of the recursion, turned into a value above. */
class BadJson extends Error {}

function readDocument(text: string, depthMax: number): unknown {
  let at = 0

  function fail(what: string): never {
    throw new BadJson(`${what} at character ${at}`)
  }

  function skipSpace(): void {
    for (;;) {
      const c = text.charCodeAt(at)
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return
      at++
    }
  }

  function expect(character: string): void {
    skipSpace()
    if (text[at] !== character) fail(`expected ${character}, found ${text[at] ?? 'the end'}`)
    at++
  }

  function readValue(depth: number): unknown {
    if (depth > depthMax) fail(`nested deeper than ${depthMax}`)
    skipSpace()
    switch (text[at]) {
      case '{':
        return readObject(depth)
      case '[':
        return readArray(depth)
      case '"':
        return readString()
      case 't':
        return readWord('true', true)
      case 'f':
        return readWord('false', false)
      case 'n':
        return readWord('null', null)
      default:
        return readNumber()
    }
  }

  function readObject(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    at++
    skipSpace()
    if (text[at] === '}') {
      at++
      return object
    }
    for (;;) {
      skipSpace()
      if (text[at] !== '"') fail('expected a key')
      const key = readString()
      if (Object.hasOwn(object, key)) fail(`duplicate key ${JSON.stringify(key)}`)
      expect(':')
      const value = readValue(depth + 1)
      // Plain assignment to `__proto__` would replace the prototype.
      if (key === '__proto__') {
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
      } else object[key] = value
      skipSpace()
      if (text[at] !== ',') break
      at++
    }
    expect('}')
    return object
  }

  function readArray(depth: number): unknown[] {
    const array: unknown[] = []
    at++
    skipSpace()
    if (text[at] === ']') {
      at++
      return array
    }
    for (;;) {
      array.push(readValue(depth + 1))
      skipSpace()
      if (text[at] !== ',') break
      at++
    }
    expect(']')
    return array
  }

  function readString(): string {
    const start = at++
    let escaped = false
    for (;;) {
      const c = text.charCodeAt(at)
      if (Number.isNaN(c)) fail('unterminated string')
      if (c === 0x22) break
      if (c < 0x20) fail('control character in a string')
      if (c === 0x5c) {
        escaped = true
        at++
      }
      at++
    }
    at++
    const value = escaped ? readEscapes(text.slice(start, at)) : text.slice(start + 1, at - 1)
    if (escaped && loneSurrogate.test(value)) fail('lone surrogate in a string')
    return value
  }

  /** Nothing is ambiguous about one string literal, so JSON.parse may do this part. */
  function readEscapes(literal: string): string {
    try {
      return JSON.parse(literal) as string
    } catch {
      return fail('bad escape in a string')
    }
  }

  function readNumber(): number {
    const token = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
    token.lastIndex = at
    const match = token.exec(text)
    if (match === null) return fail(`expected a value, found ${text[at] ?? 'the end'}`)
    const value = Number(match[0])
    const isWhole = match[1] === undefined && match[2] === undefined
    if (!Number.isFinite(value) || (isWhole && !Number.isSafeInteger(value))) fail('number out of range')
    at = token.lastIndex
    return value
  }

  function readWord<T>(word: string, value: T): T {
    if (!text.startsWith(word, at)) fail('expected a value')
    at += word.length
    return value
  }

  const value = readValue(1)
  skipSpace()
  if (at !== text.length) fail('something after the end')
  return value
}
