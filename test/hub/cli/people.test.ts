import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'
import { godwitFor } from './godwit.ts'

let box: Box
let directory: string
let godwit: ReturnType<typeof godwitFor>
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'godwit-people-'))
  box = await newHub()
  await box.hub.start()
  godwit = godwitFor(box, directory)
})
afterAll(async () => {
  await box.close()
  await rm(directory, { recursive: true, force: true })
})
const json = async (...args: string[]) => JSON.parse((await godwit(...args, '--json')).stdout)

describe('godwit user', () => {
  test('lets somebody in: the link alone is on stdout, and whom it is for on stderr', async () => {
    const { code, stdout, stderr } = await godwit('user', 'create', 'ana', '--role', 'operator', 'approver')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^http:\/\/\S+\/invitation#\w+\n$/)
    expect(stderr).toContain('Give this to ana')
    const users = await json('user', 'list')
    expect(users).toMatchObject([{ name: 'ana', roles: ['operator', 'approver'], hasPassword: false }])
  })

  test('changes, logs out, disables and enables', async () => {
    expect((await godwit('user', 'roles', 'ana', 'viewer')).stdout).toBe('ana: viewer\n')
    expect((await godwit('user', 'logout', 'ana')).stdout).toBe('0 sessions of ana ended\n')
    expect((await godwit('user', 'disable', 'ana')).stdout).toBe('ana is disabled\n')
    expect((await godwit('user', 'list')).stdout).toMatch(/ana +viewer +invited +never +disabled/)
    expect((await godwit('user', 'invite', 'ana')).code).toBe(exitCodes.conflict)
    expect((await godwit('user', 'enable', 'ana')).stdout).toBe('ana is enabled\n')
    expect(await json('user', 'invite', 'ana')).toMatchObject({ url: expect.stringContaining('#') })
  })

  test('names what is wrong', async () => {
    expect((await godwit('user', 'create', 'Ana', '--role', 'viewer')).stderr).toContain('is taken')
    expect((await godwit('user', 'create', 'ben', '--role', 'king')).stderr).toContain('roles')
    expect((await godwit('user', 'disable', 'nobody')).code).toBe(exitCodes.notFound)
  })
})

describe('godwit token', () => {
  test('makes one with scopes and an end, and says when it has ended', async () => {
    const made = await json(
      ...['token', 'create', '--name', 'ci', '--program', '--role', 'publisher'],
      ...['--scope', 'publish:kettle-*', '--expires-days', '2'],
    )
    expect(made).toMatchObject({ scopes: ['publish:kettle-*'], token: expect.stringMatching(/^godwit_pat_/) })
    expect((await godwit('token', 'list')).stdout).toMatch(
      /ci +a program +publish:kettle-\* .*until 2026-11-03/,
    )
    box.time.now += 2 * 86_400_000
    expect((await godwit('token', 'list')).stdout).toMatch(/ci .*expired/)
  })

  test.each(['0', '-1', 'soon'])('asks for a life that is one: %s', async (days) => {
    const answer = await godwit(
      'token',
      'create',
      '--name',
      'x',
      '--role',
      'viewer',
      `--expires-days=${days}`,
    )
    expect(answer.code).toBe(exitCodes.usage)
    expect(answer.stderr).toContain(days)
  })
})
