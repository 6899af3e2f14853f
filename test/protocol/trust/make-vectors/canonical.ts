import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'

const valid: readonly (readonly [why: string, json: string])[] = [
  ['keys are sorted, white space goes', '{ "b" : 1,\n "a" : [ true, false, null ] }'],
  [
    'keys are sorted by code point, not by UTF-16 unit: U+FF5E comes before U+1F600',
    '{"\u{1F600}":1,"\uFF5E":2,"z":3}',
  ],
  ['a key sorts before the one that it begins', '{"ab":1,"a":2,"A":3,"":4}'],
  ['in strings the quote and the backslash alone are escaped', '"say \\"hi\\" \\\\ /"'],
  [
    'control characters stand as they are, and so does everything above ASCII',
    '"line\\nfeed \\u0000 \\u007f \\u00e9 \\ud83d\\ude00"',
  ],
  ['a solidus that came escaped is a solidus', '"a\\/b"'],
  ['integers up to 2^53 - 1, either way', '[9007199254740991,-9007199254740991,0]'],
  ['minus zero is zero', '-0'],
  ['empty containers', '{"object":{},"array":[],"string":""}'],
]
const refused: readonly (readonly [why: string, json: string])[] = [
  ['a key twice', '{"a":1,"a":1}'],
  ['a key twice, once escaped', '{"a":1,"\\u0061":2}'],
  ['a fraction', '1.5'],
  ['an integer above 2^53 - 1', '9007199254740992'],
  ['half of a surrogate pair', '"\\ud800"'],
  ['a control character that is not escaped', '"a\nb"'],
  ['a byte order mark', '\ufeff{}'],
  ['something after the end', '{} {}'],
  ['no number', 'NaN'],
  ['a leading zero', '01'],
  ['a trailing comma', '[1,]'],
  ['33 levels', `${'['.repeat(33)}${']'.repeat(33)}`],
]

export function canonicalVectors() {
  return {
    about:
      'SPEC 1.2 and 1.3. valid: what is received (json), and its one spelling as UTF-8 text, with the SHA-256 of that. refused: no reader may take these, or no signer may spell them.',
    valid: valid.map(([why, json]) => {
      const canonical = canonicalText(JSON.parse(json))
      return { why, json, canonical, sha256: sha256Hex(utf8(canonical)) }
    }),
    refused: refused.map(([why, json]) => ({ why, json })),
    refusedBytes: [
      { why: 'half a character: no UTF-8', hex: '22c322' },
      { why: 'an overlong solidus: no UTF-8', hex: '22c0af22' },
    ],
  }
}
