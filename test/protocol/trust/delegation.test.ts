import { isDelegated, matchesPattern } from '@godwit/protocol/trust/delegation'
import { expect, test } from 'vitest'

test.each([
  ['targets/*.tgz', 'targets/foo.tgz', true],
  ['targets/*.tgz', 'targets/foo.txt', false],
  ['foo-version-?.tgz', 'foo-version-2.tgz', true],
  ['foo-version-?.tgz', 'foo-version-a.tgz', true],
  ['foo-version-?.tgz', 'foo-version-alpha.tgz', false],
  ['*.tgz', 'foo.tgz', true],
  ['*.tgz', 'targets/foo.tgz', false],
  ['foo.tgz', 'foo.tgz', true],
  ['foo.tgz', 'fooxtgz', false],
  ['*', 'a/b', false],
  ['*/*', 'a/b', true],
  ['a?b', 'a/b', false],
  ['*', '', true],
  ['?', '\u{1f600}', true],
  ['README.md', 'README.MD', false],
  ['a**b', 'axxb', true],
  ['*a*b', 'xaxaxb', true],
  ['*a*b', 'xaxaxbx', false],
  ['v[0-9]', 'v7', true],
  ['v[0-9]', 'vx', false],
  ['v[!0-9]', 'vx', true],
  ['v[abc]', 'vb', true],
  ['[]]', ']', true],
  ['[', '[', true],
  ['(a+)+$', '(a+)+$', true],
])('%s and %s: %s', (pattern, path, isMatch) => {
  expect(matchesPattern(pattern, path)).toBe(isMatch)
})

test('a pattern made to explode costs no more than its length times the path', () => {
  expect(matchesPattern(`${'*a'.repeat(500)}b`, 'a'.repeat(5_000))).toBe(false)
})

test('path hash prefixes are of the SHA-256 of the path', () => {
  const role = { name: 'bin', keyids: [], threshold: 1, terminating: false }
  // sha256("abc") = ba7816bf…
  expect(isDelegated({ ...role, path_hash_prefixes: ['00', 'ba7'] }, 'abc')).toBe(true)
  expect(isDelegated({ ...role, path_hash_prefixes: ['00'] }, 'abc')).toBe(false)
  expect(isDelegated(role, 'abc')).toBe(false)
})
