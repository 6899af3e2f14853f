import { openPatiently } from '@godwit/agent/runner/sources/patient'
import type { Source } from '@godwit/agent/runner/sources/source'
import { expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'

const reading = { at: 1, values: { t: 20 } }
const good: Source = {
  next: async () => ({ reading, cursor: 'after it' }),
  close: async () => {},
}
const running = new AbortController().signal

test('a source that cannot be opened is told once, tried again, and read from where it stood', async () => {
  let tries = 0
  const { patient, told, pass } = await opened('here', async () => {
    if (++tries < 4) throw new Error('no such FIFO')
    return good
  })
  expect(told).toEqual(['no such FIFO'])
  expect(patient.position?.()).toBe('here')
  const next = patient.next(running)
  for (const seconds of [5, 10, 20]) await pass(seconds)
  expect((await next)?.reading).toEqual(reading)
  expect(told).toEqual(['no such FIFO', undefined])
  expect(patient.position?.()).toBe('after it')
})

test('a source that fails while it is read is told, closed, and opened again behind its last reading', async () => {
  const cursors: unknown[] = []
  let closed = 0
  const { patient, told, pass } = await opened('here', async (cursor) => {
    cursors.push(cursor)
    const isFirst = cursors.length === 1
    let reads = 0
    return {
      next: async () => {
        if (isFirst && reads++ > 0)
          throw new Error('cannot read on', { cause: new Error('EIO: i/o error, read') })
        return { reading, cursor: `after ${cursors.length}` }
      },
      close: async () => void closed++,
    }
  })
  expect((await patient.next(running))?.cursor).toBe('after 1')
  const next = patient.next(running)
  await pass(5)
  expect((await next)?.cursor).toBe('after 2')
  expect(cursors).toEqual(['here', 'after 1'])
  expect(closed).toBe(1)
  expect(told).toEqual(['cannot read on: EIO: i/o error, read', undefined])
})

test('a source that opens and fails over and over is told once, and tried less and less often', async () => {
  let opens = 0
  const { patient, told, clock, pass } = await opened(null, async () => {
    opens++
    return { ...good, next: () => Promise.reject(new Error('the stick is gone')) }
  })
  const stop = new AbortController()
  const next = patient.next(stop.signal)
  for (const seconds of [5, 10, 20, 40, 60, 60]) await pass(seconds)
  while (clock.waiting === 0) await Promise.resolve()
  expect(opens).toBe(7)
  expect(told).toEqual(['the stick is gone'])
  stop.abort()
  await expect(next).rejects.toMatchObject({ name: 'AbortError' })
})

test('a wait for a source ends as soon as the runner has something else to do', async () => {
  const stop = new AbortController()
  const { patient } = await opened(null, () => Promise.reject(new Error('gone')))
  const next = patient.next(stop.signal)
  stop.abort()
  await expect(next).rejects.toMatchObject({ name: 'AbortError' })
})

async function opened(cursor: unknown, open: (cursor: unknown) => Promise<Source>) {
  const clock = new ManualClock()
  const told: (string | undefined)[] = []
  const patient = await openPatiently(open, cursor, clock, (because) => told.push(because))
  /** To the moment of the next try, and not a millisecond longer. */
  const pass = async (seconds: number) => {
    while (clock.waiting === 0) await Promise.resolve()
    clock.advance(seconds * 1_000 - 1)
    expect(clock.waiting).toBe(1)
    clock.advance(1)
  }
  return { patient, told, clock, pass }
}
