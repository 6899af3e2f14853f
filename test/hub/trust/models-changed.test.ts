import { modelsChanged } from '@godwit/hub/trust/models-changed'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { expect, test } from 'vitest'
import { signerOf } from '../../support/tuf-repository.ts'

function listing(...paths: string[]): Uint8Array {
  const file = { length: 1, hashes: { sha256: 'ab'.repeat(32) } }
  const targets = Object.fromEntries(paths.map((path) => [path, file]))
  const head = { _type: 'targets', spec_version: '1.0.31', version: 1, expires: '2030-01-01T00:00:00Z' }
  const { seed, key } = signerOf('targets-1')
  return encodeEnvelope(signDocument({ ...head, targets }, seed, key))
}

test('an entry that came, went or changed is about its model, and nothing else is', () => {
  expect([
    ...modelsChanged(listing('a/1/release.json', 'b/1/release.json'), listing('a/1/release.json')),
  ]).toEqual(['b'])
  expect([...modelsChanged(undefined, listing('a/1/release.json'))]).toEqual(['a'])
})

test('an entry that is called as every JavaScript object answers is one that came', () => {
  expect([...modelsChanged(listing(), listing('constructor', '__proto__'))]).toEqual([
    '__proto__',
    'constructor',
  ])
})
