import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildProgram as agentProgram } from '@godwit/agent/main'
import { buildProgram as hubProgram } from '@godwit/hub/cli/main'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { markdownPages, repository } from '../support/markdown.ts'

const silent = {
  environment: {},
  stdout: () => true,
  stderr: () => true,
  tty: false,
  now: () => 0,
  signal: new AbortController().signal,
}
const programs: Record<string, Command> = { godwit: hubProgram(silent), 'godwit-agent': agentProgram() }

/** Commands in code: the lines of fenced blocks (a backslash joins two), and what stands between backquotes. */
function commandsOf(text: string): string[] {
  const fenced = [...text.matchAll(/^ *```\w*\n([\s\S]*?)^ *```/gm)].map(([, block]) => block!)
  const lines = fenced.flatMap((block) => block.replaceAll(/\\\n\s*/g, ' ').split('\n'))
  const spans = [...text.replaceAll(/^ *```[\s\S]*?^ *```/gm, '').matchAll(/`([^`]+)`/g)].map(
    ([, span]) => span!,
  )
  return [...lines, ...spans]
    .map((line) => line.trim().replace(/^(\$ |sudo |npx )+/, ''))
    .filter((line) => /^godwit(-agent)? [a-z-]/.test(line))
}

/** What is wrong with a command as it is written: a verb or an option that the program does not have. */
function wrongWith(line: string): string | undefined {
  const [name, ...words] = line
    .replace(/\s#.*$/, '')
    .split(/[|>&]/)[0]!
    .trim()
    .split(/\s+/) as [string, ...string[]]
  let command = programs[name]!
  while (command.commands.length > 0 && words[0] !== undefined && !words[0].startsWith('-')) {
    const next = command.commands.find(
      (child) => child.name() === words[0] || child.aliases().includes(words[0]!),
    )
    if (!next) return `${line}: ${command.name()} has no ${words[0]}`
    command = next
    words.shift()
  }
  const known = new Set<string>()
  for (let at: Command | null = command; at; at = at.parent)
    for (const { long, short } of at.options) for (const flag of [long, short]) if (flag) known.add(flag)
  const unknown = words
    .filter((word) => /^--?[a-z]/.test(word))
    .filter((word) => !known.has(word.split('=')[0]!))
  return unknown.length > 0 ? `${line}: no ${unknown.join(', ')}` : undefined
}

test.each(markdownPages)('every command in %s is one that the programs have', (page) => {
  const commands = commandsOf(readFileSync(join(repository, page), 'utf8'))
  expect(commands.map(wrongWith).filter((wrong) => wrong !== undefined)).toEqual([])
})

test('a verb or an option that does not exist is noticed', () => {
  expect(wrongWith('godwit device frobnicate x')).toMatch(/no frobnicate/)
  expect(wrongWith('godwit-agent run --confog agent.yaml')).toMatch(/no --confog/)
  expect(wrongWith('godwit device add cam-7 --label line=3')).toBeUndefined()
})
