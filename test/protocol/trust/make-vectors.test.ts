import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { canonicalVectors } from './make-vectors/canonical.ts'
import { directivesVectors } from './make-vectors/directives.ts'
import { keysVectors } from './make-vectors/keys.ts'
import { messagesVectors } from './make-vectors/messages.ts'

/*
 * `UPDATE_VECTORS=1 node node_modules/vitest/vitest.mjs run test/protocol/trust/make-vectors.test.ts` writes them anew
 * (then `npm run format`). Whoever has a second client reads the difference first: these bytes are the wire.
 */
test.each([
  ['keys', keysVectors],
  ['canonical', canonicalVectors],
  ['messages', messagesVectors],
  ['directives', directivesVectors],
] as const)('the committed vectors in %s.json are what is made from their sources', (name, make) => {
  const file = new URL(`../../../protocol/vectors/${name}.json`, import.meta.url)
  const made = `${JSON.stringify(make(), undefined, 2)}\n`
  if (process.env['UPDATE_VECTORS']) writeFileSync(file, made)
  expect(JSON.stringify(JSON.parse(readFileSync(file, 'utf8')))).toBe(JSON.stringify(JSON.parse(made)))
})
