import { silentLog } from '@godwit/agent/control/log'
import { Serving, type ServingDeps } from '@godwit/agent/control/serving'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a journal that cannot be read is read again soon, and no release is blamed for it', async () => {
  let looks = 0
  const blamed: string[] = []
  const serving = new Serving({
    slot: 'default',
    source: { kind: 'replay', path: '/dev/null' },
    log: silentLog,
    random: () => 1,
    active: () => {
      if (++looks < 3) throw new Error('disk I/O error')
      return undefined
    },
    checkpoint: () => undefined,
    onUnusable: ({ message }: Error) => void blamed.push(message),
  } as unknown as ServingDeps)
  await expect(serving.reconcile()).rejects.toThrow('disk I/O error')
  await vi.advanceTimersByTimeAsync(60_000)
  expect(looks).toBe(3)
  expect(blamed).toEqual([])
  expect(serving.restarts).toBe(0)
  await serving.stop()
})
