import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

function sourcesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => join(root, folder, path))
}

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  return [...text.matchAll(/(?:from|import|require|resolve)\s*\(?\s*['"]([^'"]+)['"]/g)].map(
    (match) => match[1]!,
  )
}

function offenders(folder: string, forbidden: RegExp): string[] {
  return sourcesOf(folder).flatMap((path) =>
    importsOf(path)
      .filter((name) => forbidden.test(name))
      .map((name) => `${path.slice(root.length + 1)} imports ${name}`),
  )
}

test('hub and agent meet only in protocol', () => {
  expect(offenders('hub/src', /^@godwit\/(?!protocol)|\/agent\//)).toEqual([])
  expect(offenders('agent/src', /^@godwit\/(?!protocol)|\/hub\//)).toEqual([])
  expect(offenders('protocol/src', /^@godwit\//)).toEqual([])
})

test('protocol does no I/O: it imports nothing of Node but crypto, and that in one file', () => {
  const nodeImports = offenders('protocol/src', /^node:/).filter(
    (line) => !line.startsWith('protocol/src/crypto/'),
  )
  expect(nodeImports).toEqual([])
  expect(offenders('protocol/src', /^node:(?!crypto)/)).toEqual([])
})

test('only the runner imports a model runtime, and in one folder', () => {
  const importers = offenders('agent/src', /^onnxruntime/)
  expect(importers.filter((line) => !line.startsWith('agent/src/runner/session/'))).toEqual([])
  expect(offenders('hub/src', /^onnxruntime/)).toEqual([])
})

test('the dashboard talks to the hub only over HTTP', () => {
  expect(offenders('hub/dashboard/src', /^@godwit\/|\.\.\/\.\.\/src/)).toEqual([])
})
