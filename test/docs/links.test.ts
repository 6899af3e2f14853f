import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { markdownPages, repository } from '../support/markdown.ts'

const links = (text: string) => [...text.matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(([, to]) => to!)

/** As the forges make them: lower case, words joined by hyphens, everything else left out. */
const anchors = (text: string) =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

test.each(markdownPages)('every link of %s leads to something', (page) => {
  const text = readFileSync(join(repository, page), 'utf8')
  const broken = links(text).filter((link) => {
    const [path, anchor] = link.split('#') as [string, string?]
    const target = path === '' ? join(repository, page) : join(repository, dirname(page), path)
    if (!existsSync(target) || statSync(target).size === 0) return true
    return anchor !== undefined && !anchors(readFileSync(target, 'utf8')).includes(anchor)
  })
  expect(broken).toEqual([])
})

test.each(markdownPages)('%s says something', (page) => {
  expect(readFileSync(join(repository, page), 'utf8').length).toBeGreaterThan(100)
})

test('every page of docs/ is named in the README', () => {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
  const unnamed = markdownPages.filter((page) => page.startsWith('docs/') && !readme.includes(`(${page})`))
  expect(unnamed).toEqual([])
})

test('the clauses of the SPEC count up, so that a number names one of them', () => {
  const text = readFileSync(join(repository, 'protocol/SPEC.md'), 'utf8')
  const clauses = [...text.matchAll(/^(\d+)\.(\d+)(?:\.\d+)? /gm)].map(
    ([, section, clause]) => Number(section) * 1_000 + Number(clause),
  )
  expect(clauses.length).toBeGreaterThan(30)
  expect(clauses.filter((clause, i) => i > 0 && clause < clauses[i - 1]!)).toEqual([])
  const whole = [...text.matchAll(/^(\d+\.\d+) /gm)].map(([, number]) => number)
  expect(whole.filter((number, i) => whole.indexOf(number) !== i)).toEqual([])
})
