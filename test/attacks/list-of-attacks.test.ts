import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const here = new URL('.', import.meta.url)

test('the README of the attacks names every file, and no other', () => {
  const listed = [...readFileSync(new URL('README.md', here), 'utf8').matchAll(/\]\(([\w-]+\.test\.ts)\)/g)]
  const files = readdirSync(here).filter(
    (name) => name.endsWith('.test.ts') && name !== 'list-of-attacks.test.ts',
  )
  expect(listed.map(([, name]) => name).sort()).toEqual(files.sort())
})
