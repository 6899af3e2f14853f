import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Listeners } from '@godwit/agent/control/listeners'
import { silentLog } from '@godwit/agent/control/log'
import type { ApiConfig } from '@godwit/agent/runner/api/api-config'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../runner/bundle-on-disk.ts'

test('a socket that somebody listens on is left alone; the name that one was killed under is taken over', async () => {
  const path = join(temporaryFolder(), 'api.sock')
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(path, resolve))
  onTestFinished(() => void other.close())
  expect(lendAt(path)).toEqual({ lent: 0, troubles: ['EADDRINUSE'] })
  // A name that nobody is bound to, as a SIGKILL leaves it.
  const left = join(temporaryFolder(), 'left.sock')
  renameSync(path, left)
  expect(lendAt(left)).toEqual({ lent: 1, troubles: [] })
})

test('a file that stands where the socket should be is kept and told of', () => {
  const path = join(temporaryFolder(), 'notes.txt')
  writeFileSync(path, 'precious')
  expect(lendAt(path)).toEqual({ lent: 0, troubles: ['EADDRINUSE'] })
  expect(readFileSync(path, 'utf8')).toBe('precious')
})

test('a path that is too long for a socket is told as that', () => {
  const path = join(temporaryFolder(), 'x'.repeat(120))
  const { troubles } = lendAt(path)
  expect(troubles).not.toContain('ENOENT')
  expect(troubles).toHaveLength(1)
  expect(existsSync(path)).toBe(false)
})

function lendAt(socket: string) {
  const limits = { bodyBytesMax: 1, elementsMax: 1, queueMax: 1, deadlineMs: 1, connectionsMax: 1 }
  const troubles: (string | undefined)[] = []
  const listeners = new Listeners({ socket, limits } as ApiConfig, silentLog, (_, trouble) =>
    troubles.push(trouble?.code),
  )
  onTestFinished(() => listeners.close())
  let lent = 0
  listeners.lendTo({ listen: () => void lent++ })
  return { lent, troubles }
}
