import type { Checkpoint } from '@godwit/agent/runner/messages'
import { unstoredMax } from '@godwit/agent/runner/serve'
import { checkBody } from '@godwit/protocol/messages/telemetry'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { meanSession } from './fake-session.ts'
import { ManualClock } from './manual-clock.ts'
import { recordingOf, serve, serves, totalsOf, windowsOver } from './serve-fixture.ts'

const values = fc.array(
  fc.oneof({ arbitrary: fc.integer({ min: 0, max: 12 }), weight: 9 }, fc.constant(null)),
  {
    minLength: 20,
    maxLength: 120,
  },
)

describe('counting', () => {
  test('every reading is an inference, an error or warm-up', async () => {
    const windows = await windowsOver(recordingOf([1, 2, null, 3, 4, null, 5]))
    expect(totalsOf(windows)).toMatchObject({ readings: 7, inferences: 3, errors: 2, warmUp: 2, timed: 3 })
    for (const { record } of windows)
      expect(record.readings).toBe(record.inferences + record.errors + record.warmUp)
  })

  test('a window is what the protocol says a window is', async () => {
    const windows = await windowsOver(recordingOf([1, 2, 3, 30, 30, null, 3, 3, 3, 3, 3, 3, 3, 3]))
    for (const { record, events } of windows) {
      expect(checkBody('window', record)).toMatchObject({ ok: true })
      for (const event of events) expect(checkBody('event', event)).toMatchObject({ ok: true })
    }
    expect(windows.flatMap(({ events }) => events).length).toBeGreaterThan(1)
  })

  test('a run that throws is an error, and the next reading is inferred again', async () => {
    const session = meanSession((run) => {
      if (run === 1) throw new Error('out of cheese')
    })
    const windows = await windowsOver(recordingOf([1, 2, 3, 4, 5]), { session })
    expect(totalsOf(windows)).toMatchObject({ readings: 5, inferences: 2, errors: 1 })
    const told = windows.flatMap(({ events }) => events)
    expect(told).toMatchObject([
      { kind: 'inference_error', detail: { kind: 'run', reason: 'out of cheese', position: '0:3' } },
    ])
  })

  test('an answer that is no number decides nothing: it is an error, told once and counted each time', async () => {
    const session = meanSession((_, input) => input.fill(Number.NaN))
    const windows = await windowsOver(recordingOf([1, 2, 3, 4, 5]), { session })
    expect(totalsOf(windows)).toMatchObject({ inferences: 0, errors: 3, anomalies: 0 })
    expect(windows.flatMap(({ events }) => events)).toMatchObject([{ detail: { kind: 'not_finite' } }])
  })

  test('an idle source makes windows too: silence is news', async () => {
    const clock = new ManualClock()
    const source = {
      next: (signal: AbortSignal) =>
        new Promise<undefined>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      async close() {},
    }
    const { serving, windows } = serve(recordingOf([]), { clock, source })
    await turn()
    clock.advance(10)
    await turn()
    clock.advance(10)
    await turn()
    expect(windows().map(({ record }) => [record.readings, record.end - record.start])).toEqual([
      [0, 10],
      [0, 10],
    ])
    await serving.finish()
  })
})

describe('resuming', () => {
  test('from any stored window gives the same counts, drift windows and episodes as never having been killed', async () => {
    const property = fc.asyncProperty(
      values,
      fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }),
      async (list, kills) => {
        const recording = recordingOf(list)
        const expected = totalsOf(await windowsOver(recording))
        const kept = []
        let checkpoint: Checkpoint | undefined
        for (const survived of kills) {
          // What was sent after the last stored window dies with the process.
          const windows = (await windowsOver(recording, checkpoint ? { checkpoint } : {}))
            .slice(0, -2)
            .slice(0, survived)
          kept.push(...windows)
          checkpoint = windows.at(-1)?.checkpoint ?? checkpoint
        }
        kept.push(...(await windowsOver(recording, checkpoint ? { checkpoint } : {})))
        expect(totalsOf(kept)).toEqual(expected)
      },
    )
    await fc.assert(property, { numRuns: 60 })
  })

  test('a hand-over loses no reading, repeats none, and needs no second warm-up', async () => {
    const list = Array.from({ length: 60 }, (_, i) => (i * 13) % 11)
    const first = serve(recordingOf(list), { session: meanSession() })
    await turn(5)
    const checkpoint = await first.serving.finish()
    const next = { ...serves, version: '2', releaseDigest: 'b'.repeat(64) }
    const rest = await windowsOver(recordingOf(list), { checkpoint, serves: next })
    const before = totalsOf(first.windows())
    const after = totalsOf(rest)
    expect(before.readings).toBeGreaterThan(2)
    expect(before.readings + after.readings).toBe(60)
    expect([before.warmUp, after.warmUp]).toEqual([2, 0])
    expect(rest.every(({ record }) => record.releaseDigest === next.releaseDigest)).toBe(true)
    expect(after.drift[0]?.index).toBe(0)
  })

  test('an episode that was open at the hand-over is told by the successor, as the old release found it', async () => {
    const list = [1, 1, 1, ...Array.from({ length: 40 }, () => 20)]
    const first = serve(recordingOf(list), { session: meanSession() })
    await turn(10)
    const checkpoint = await first.serving.finish()
    const rest = await windowsOver(recordingOf(list), {
      checkpoint,
      serves: { ...serves, releaseDigest: 'b'.repeat(64) },
    })
    const events = rest.flatMap((window) => window.events)
    expect(events.map(({ releaseDigest }) => releaseDigest?.[0])).toEqual(['a', 'b'])
    const counts = events.map(({ detail }) => Number(detail['count']))
    expect(counts[0]! + counts[1]!).toBe(totalsOf(first.windows()).anomalies + totalsOf(rest).anomalies)
  })

  test('finishing twice sends one last window', async () => {
    const { serving, windows } = serve(recordingOf([1, 2, 3]))
    const both = await Promise.all([serving.finish(), serving.finish()])
    expect(both[0]).toBe(both[1])
    expect(windows().filter(({ record }) => record.readings === 0).length).toBeLessThanOrEqual(1)
  })
})

describe('flow control', () => {
  test(`after ${unstoredMax} windows that nobody stored the source waits; nothing is lost`, async () => {
    const list = Array.from({ length: 400 }, (_, i) => i % 7)
    const { serving, windows, ended } = serve(recordingOf(list), { storeAtOnce: false, stepMs: 5 })
    while (windows().length < unstoredMax) await turn()
    await turn(50)
    expect(windows().length).toBe(unstoredMax)
    const read = totalsOf(windows()).readings
    expect(read).toBeLessThan(40)
    const store = setInterval(() => serving.stored(windows().length), 0)
    await ended
    clearInterval(store)
    await serving.finish()
    expect(totalsOf(windows()).readings).toBe(400)
  })
})

/** Lets everything that is ready to run do so, that many rounds long. */
async function turn(rounds = 3): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve))
}
