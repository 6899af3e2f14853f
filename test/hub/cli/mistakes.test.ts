import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { words } from '@godwit/hub/cli/commands/rollout-words'
import { exitCodes } from '@godwit/hub/cli/exit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'
import { godwitFor } from './godwit.ts'

let box: Box
let directory: string
let godwit: ReturnType<typeof godwitFor>
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'godwit-mistakes-'))
  box = await newHub()
  await box.hub.start()
  godwit = godwitFor(box, directory)
})
afterAll(async () => {
  await box.close()
  await rm(directory, { recursive: true, force: true })
})

describe('a command that was typed wrongly', () => {
  test.each([
    [['device', 'ad', 'x'], 'unknown_command', "unknown command 'ad' (Did you mean add?)", 'godwit device'],
    [['status', '--bogus'], 'unknown_option', "unknown option '--bogus'", 'godwit status'],
    [['rollout', 'show'], 'missing_argument', "missing required argument 'id'", 'godwit rollout show'],
    [
      ['rollout', 'pause', 'r'],
      'missing_mandatory_option_value',
      "required option '-m, --reason <text>' not specified",
      'godwit rollout pause',
    ],
    [
      ['rollout', 'wait', 'r', '--timeout', 'soon'],
      'invalid_argument',
      "option '--timeout <minutes>' argument 'soon' is invalid. Expected a number from 0 to 525600.",
      'godwit rollout wait',
    ],
    [
      ['device', 'add', 'x', '--uses', '1.5'],
      'invalid_argument',
      "option '--uses <count>' argument '1.5' is invalid. Expected a whole number from 1 to 100000.",
      'godwit device add',
    ],
  ])('%j is told with a code, and where the help is', async (args, code, message, command) => {
    expect(await godwit(...args)).toEqual({
      code: exitCodes.usage,
      stdout: '',
      stderr: `godwit: ${message} [${code}]\n  ${command} --help\n`,
    })
    const { stderr } = await godwit(...args, '--json')
    expect(JSON.parse(stderr)).toEqual({ error: { code, message, hint: `${command} --help` } })
  })

  test('help is no mistake', async () => {
    const { code, stdout } = await godwit('device', 'add', '--help')
    expect({ code, stdout }).toMatchObject({ code: exitCodes.ok, stdout: expect.stringContaining('--uses') })
  })
})

describe('what the hub refuses', () => {
  test('names the values that it takes', async () => {
    const { stderr } = await godwit('energy', '--by', 'week')
    expect(stderr).toContain('one of the allowed values: ')
    expect(stderr).toContain('device')
  })

  test('says it once', async () => {
    const { stderr } = await godwit('rollout', 'create', 'nope@v1')
    expect(stderr.match(/there is no nope v1/g)).toHaveLength(1)
  })

  test('an answer that is no JSON is no hub', async () => {
    const other: Server = createServer((_, reply) => reply.end('<html>hi</html>'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    const { code, stderr } = await godwit('--url', url, 'status')
    other.close()
    expect(code).toBe(exitCodes.failure)
    expect(stderr).toContain(`${url}/api/v1/overview answered no JSON: "<html>hi</html>" [not_a_hub]`)
  })
})

describe('contexts', () => {
  const file = () => join(directory, 'contexts.json')
  const held = async () => JSON.parse(await readFile(file(), 'utf8')) as { current?: string }
  test('forgetting one leaves the chosen one chosen, and one that is not there is named', async () => {
    const target = { url: 'http://127.0.0.1:1', token: 't' }
    await writeFile(file(), JSON.stringify({ current: 'a', contexts: { a: target, b: target } }))
    expect((await godwit('context', 'rm', 'c')).stderr).toBe(
      'godwit: no context c [context_unknown]\n  known: a, b\n',
    )
    expect((await godwit('context', 'rm', 'b')).code).toBe(exitCodes.ok)
    expect(await held()).toEqual({ current: 'a', contexts: { a: target } })
    await godwit('context', 'rm', 'a')
    expect(await held()).toEqual({ contexts: {} })
  })
})

test('what is said to come next can be typed as it stands, with its reason', () => {
  const rollout = { id: 'r-1', model: 'm', version: '1', slot: 'default', phase: 'running', sentence: 's' }
  const shown = words({ ...rollout, allowedActions: ['pause', 'abort'], approval: null, waves: [] }, [])
  expect(shown).toContain('Next: godwit rollout pause r-1 -m "why"   (or abort)')
})
