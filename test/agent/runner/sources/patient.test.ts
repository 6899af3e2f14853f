import { openPatiently } from '@godwit/agent/runner/sources/patient'
import type { Source } from '@godwit/agent/runner/sources/source'
import { expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'

const reading = { at: 1, values: { t: 20 } }
const source: Source = {
  next: async () => ({ reading, cursor: 'after it' }),
  close: async () => {},
}

test('a source that cannot be opened is told once, tried again, and read from where it stood', async () => {
  const clock = new ManualClock()
  const told: (string | undefined)[] = []
  let tries = 0
  const open = async () => {
    if (++tries < 4) throw new Error('no such FIFO')
    return source
  }
  const patient = await openPatiently(open, 'here', clock, (because) => told.push(because))
  expect(told).toEqual(['no such FIFO'])
  expect(patient.position?.()).toBe('here')
  const next = patient.next(new AbortController().signal)
  for (let i = 0; i < 3; i++) {
    while (clock.waiting === 0) await Promise.resolve()
    clock.advance(5_000)
  }
  expect((await next)?.reading).toEqual(reading)
  expect(told).toEqual(['no such FIFO', undefined])
  expect(patient.position?.()).toBe('after it')
})

test('a wait for a source ends as soon as the runner has something else to do', async () => {
  const stop = new AbortController()
  const patient = await openPatiently(
    () => Promise.reject(new Error('gone')),
    null,
    new ManualClock(),
    () => {},
  )
  const next = patient.next(stop.signal)
  stop.abort()
  await expect(next).rejects.toMatchObject({ name: 'AbortError' })
})
