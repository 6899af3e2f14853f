import { canonicalText, jsonDepthMax, parseStrict } from '@godwit/protocol/trust/canonical'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const parse = (text: string) => parseStrict(Buffer.from(text))
const detailOf = (text: string) => {
  const read = parse(text)
  return read.ok ? 'read' : read.detail
}

describe('canonical JSON', () => {
  test('sorts keys, drops white space and absent properties', () => {
    expect(canonicalText({ b: [1, true, null], a: { d: 'x', c: -5 }, e: undefined })).toBe(
      '{"a":{"c":-5,"d":"x"},"b":[1,true,null]}',
    )
  })

  test('sorts by code point, not by UTF-16 unit', () => {
    // U+FF5E comes before U+1F600, whose first unit is 0xD83D.
    expect(canonicalText({ '\u{1f600}': 1, '\uff5e': 2, a: 3, A: 4, _: 5 })).toBe(
      '{"A":4,"_":5,"a":3,"\uff5e":2,"\u{1f600}":1}',
    )
  })

  test('escapes only the quote and the backslash; a line feed stands as it is', () => {
    expect(canonicalText('a"b\\c\n\té\u0000')).toBe('"a\\"b\\\\c\n\té\u0000"')
  })

  test.each([1.5, 1e300, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('refuses the number %s', (value) => {
    expect(() => canonicalText({ value })).toThrow(expect.objectContaining({ code: 'not-canonical' }))
  })

  test('refuses what JSON cannot hold', () => {
    for (const value of [1n, () => 1, Symbol('s'), [undefined], '\ud800'])
      expect(() => canonicalText(value)).toThrow(expect.objectContaining({ code: 'not-canonical' }))
  })

  test('minus zero is zero', () => {
    expect(canonicalText(-0)).toBe('0')
  })
})

describe('strict parsing', () => {
  test.each([
    ['{"a":1,"a":2}', 'duplicate key "a"'],
    ['{"a":1,"\\u0061":2}', 'duplicate key "a"'],
    ['{"x":{"__proto__":1,"__proto__":2}}', 'duplicate key "__proto__"'],
    ['{"a":1}x', 'something after the end'],
    ['{"a":1,}', 'expected a key'],
    ['[1,]', 'expected a value'],
    ['', 'expected a value, found the end'],
    ['{"a"', 'expected :, found the end'],
    ['"a', 'unterminated'],
    ['"a\\', 'unterminated'],
    ['"a\nb"', 'control character'],
    ['"\\x41"', 'bad escape'],
    ['"\\ud800"', 'lone surrogate'],
    ['01', 'something after the end'],
    ['+1', 'expected a value'],
    ['1e999', 'out of range'],
    ['9007199254740993', 'out of range'],
    ['nul', 'expected a value'],
    ['NaN', 'expected a value'],
    ['\ufeff{}', 'expected a value'],
    ["{'a':1}", 'expected a key'],
  ])('refuses %j', (text, detail) => {
    expect(detailOf(text)).toContain(detail)
  })

  test('refuses bytes that are no UTF-8', () => {
    expect(parseStrict(new Uint8Array([0x22, 0xff, 0x22]))).toEqual({ ok: false, detail: 'not valid UTF-8' })
    // An overlong slash.
    expect(parseStrict(new Uint8Array([0x22, 0xc0, 0xaf, 0x22])).ok).toBe(false)
  })

  test('reads down to its limit and refuses one more level', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(parse(nested(jsonDepthMax)).ok).toBe(true)
    expect(detailOf(nested(jsonDepthMax + 1))).toContain(`deeper than ${jsonDepthMax}`)
    expect(detailOf('['.repeat(1_000_000))).toContain('deeper')
  })

  test('a __proto__ key stays a plain property and changes no prototype', () => {
    const read = parse('{"__proto__":{"isAdmin":true},"constructor":1}')
    const value = read.ok ? (read.value as Record<string, unknown>) : {}
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(value['isAdmin']).toBeUndefined()
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor'])
    expect(canonicalText(value)).toBe('{"__proto__":{"isAdmin":true},"constructor":1}')
  })

  test('reads fractions, which only canonical spelling refuses', () => {
    expect(parse('[0.5,-1.25e2,-0,1E3]')).toEqual({ ok: true, value: [0.5, -125, -0, 1000] })
  })

  test('agrees with JSON.parse on everything that JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        const read = parse(text)
        // Lone surrogates, huge whole numbers are refused on purpose; whatever is read must be the same.
        if (read.ok) expect(JSON.stringify(read.value)).toBe(JSON.stringify(JSON.parse(text)))
      }),
      { seed: 20261122, numRuns: 500 },
    )
  })

  test('canonical text reads back as the same document, even with control characters escaped for the trip', () => {
    const safe = fc.dictionary(
      fc.string(),
      fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null)),
    )
    fc.assert(
      fc.property(safe, (document) => {
        const read = parse(JSON.stringify(document))
        expect(read.ok && canonicalText(read.value)).toBe(canonicalText(document))
      }),
      { seed: 20261122, numRuns: 300 },
    )
  })

  test('never throws on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => typeof parseStrict(bytes).ok === 'boolean'),
      { seed: 20261122, numRuns: 1000 },
    )
  })
})
