import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Medium } from '@godwit/agent/control/medium/medium'
import { pathsIn } from '@godwit/agent/control/paths'
import type { Trust } from '@godwit/agent/control/trust/trust'
import { afterEach, expect, test } from 'vitest'

const root = mkdtempSync(join(tmpdir(), 'godwit-medium-'))
afterEach(() => rmSync(root, { recursive: true, force: true }))

test('what was imported and cannot be read is looked at again, and then taken once', async () => {
  const taken: string[] = []
  const medium = new Medium({
    paths: pathsIn(root),
    fleet: 'motes',
    trust: { heard: () => undefined } as unknown as Trust,
    onMetadata: async () => {},
    onDirective: async (payload) => void taken.push(Buffer.from(payload).toString()),
    onNew: () => {},
  })
  const unreadable = join(root, 'medium', 'metadata', 'timestamp.json')
  mkdirSync(unreadable, { recursive: true })
  writeFileSync(join(root, 'medium', 'directive.json'), '{}')
  await expect(medium.look()).rejects.toThrow(/EISDIR/)
  rmSync(unreadable, { recursive: true })
  await medium.look()
  await medium.look()
  expect(taken).toEqual(['{}'])
})
