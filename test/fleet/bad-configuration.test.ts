import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import { runCommand } from '@godwit/sample-sensor-fleet/demo/processes'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const { resolve } = createRequire(import.meta.url)
const godwit = join(dirname(resolve('@godwit/hub/package.json')), 'bin', 'godwit.mjs')
const godwitAgent = join(dirname(resolve('@godwit/agent/package.json')), 'bin', 'godwit-agent.mjs')

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-config-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function config(lines: string[]): string {
  const path = join(directory, 'config.yaml')
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

const hubRun = (lines: string[], env: NodeJS.ProcessEnv = {}) =>
  runCommand([godwit, 'hub', 'run', '--config', config(lines)], { GODWIT_CONFIG_DIR: directory, ...env })
const agentRun = (lines: string[]) => runCommand([godwitAgent, 'run', '--config', config(lines)], {})

describe('godwit hub run', () => {
  test('names every mistake of a configuration at once, with the nearest key', async () => {
    const { code, stdout, stderr } = await hubRun([
      'fleet: motes',
      'stateDri: /nowhere',
      'http: { prot: 8080 }',
      'mqtt: { port: eighty }',
      'telemetry: { windowMs: 1 }',
    ])
    expect({ code, stdout }).toEqual({ code: exitCodes.usage, stdout: '' })
    expect(stderr).toContain('unknown key `stateDri`, did you mean `stateDir`?')
    expect(stderr).toContain('unknown key `prot` in `http`, did you mean `port`?')
    expect(stderr).toContain('`mqtt.port`')
    expect(stderr).toContain('"eighty"')
    expect(stderr).toContain('`telemetry.windowMs`')
    expect(stderr).toContain('stateDir')
    expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m)
  })

  test('checks the environment as it checks the file', async () => {
    const good = ['fleet: motes', `stateDir: ${join(directory, 'hub')}`]
    const { code, stderr } = await hubRun(good, { GODWIT_HUB__HTTP__PROT: '1' })
    expect(code).toBe(exitCodes.usage)
    expect(stderr).toContain('unknown key `prot` in `http`, did you mean `port`?')
  })

  test('says so when the file is no YAML, is no list of keys, or is not there', async () => {
    const torn = await hubRun(['fleet: [motes'])
    expect(torn).toMatchObject({ code: exitCodes.usage, stderr: expect.stringMatching(/\.yaml: .*no YAML/) })
    const list = await hubRun(['- fleet'])
    expect(list).toMatchObject({
      code: exitCodes.usage,
      stderr: expect.stringContaining('keys and values'),
    })
    const nowhere = await runCommand([godwit, 'hub', 'run', '--config', join(directory, 'none.yaml')], {})
    expect(nowhere).toMatchObject({ code: exitCodes.notFound, stderr: expect.stringContaining('none.yaml') })
  })

  test('with a good configuration and no hub in its directory says how to make one', async () => {
    const { code, stderr } = await hubRun(['fleet: motes', `stateDir: ${join(directory, 'empty')}`])
    expect(code).toBe(exitCodes.notFound)
    expect(stderr).toContain('godwit hub init --fleet motes')
  })
})

describe('godwit-agent run', () => {
  test('names every mistake of a configuration at once, with the nearest key, and exits with 2', async () => {
    const { code, stdout, stderr } = await agentRun([
      'stateDri: state',
      'donwload: { via: pigeon }',
      'link: { backofMsMin: 1, mqttUrl: ftp://hub }',
      'slots:',
      '  default: { sorce: {}, source: { kind: replay, path: x.csv } }',
    ])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('unknown key `stateDri`, did you mean `stateDir`?')
    expect(stderr).toContain('unknown key `donwload`, did you mean `download`?')
    expect(stderr).toContain('unknown key `backofMsMin` in `link`, did you mean `backoffMsMin`?')
    expect(stderr).toContain('`link.mqttUrl`')
    expect(stderr).toContain('unknown key `sorce`, did you mean `source`?')
    expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m)
  })

  test.each([
    ['no configuration and no --state', [], /--config FILE/],
    ['a file that is not there', ['--config', '/nowhere/agent.yaml'], /cannot read/],
    ['a slot that cannot be read', ['--state', 'x', '--slot', 'default'], /NAME=KIND:PATH/],
    ['an option that it does not know', ['--confg', 'x'], /unknown option/],
  ])('with %s says what is missing, and exits with 2', async (_, options, words) => {
    const { code, stderr } = await runCommand([godwitAgent, 'run', ...options], {})
    expect(code).toBe(2)
    expect(stderr).toMatch(words)
  })

  test('without a join token says that it needs one, and exits with 2', async () => {
    const slots = 'slots: { default: { source: { kind: replay, path: x.csv } } }'
    const { code, stderr } = await agentRun([`stateDir: ${join(directory, 'agent')}`, slots])
    expect(code).toBe(2)
    expect(stderr).toMatch(/join/)
  })
})
