import { releasesMax, withIndex } from '@godwit/agent/runner/drift-indexes'
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

describe('a new length of windows', () => {
  const still = {
    next: (signal: AbortSignal) =>
      new Promise<undefined>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    async close() {},
  }
  const lengths = ({ windows }: ReturnType<typeof serve>) =>
    windows().map(({ record }) => record.end - record.start)

  test('holds from the window that is open on', async () => {
    const clock = new ManualClock()
    const served = serve(recordingOf([]), { clock, source: still, windowMs: 60 })
    await turn()
    clock.advance(5)
    served.serving.setWindowMs(20)
    clock.advance(15)
    await turn()
    clock.advance(20)
    await turn()
    served.serving.setWindowMs(60)
    clock.advance(59)
    await turn()
    expect(lengths(served)).toEqual([20, 20])
    clock.advance(1)
    await turn()
    expect(lengths(served)).toEqual([20, 20, 60])
    await served.serving.finish()
  })

  test('closes a window at once that has lasted that long already', async () => {
    const clock = new ManualClock()
    const served = serve(recordingOf([]), { clock, source: still, windowMs: 60_000 })
    await turn()
    clock.advance(30_000)
    served.serving.setWindowMs(10_000)
    clock.advance(0)
    await turn()
    expect(lengths(served)).toEqual([30_000])
    await served.serving.finish()
  })

  test('changes nothing of what is counted', async () => {
    const recording = recordingOf(Array.from({ length: 200 }, (_, i) => (i * 13) % 11))
    const expected = totalsOf(await windowsOver(recording))
    const served = serve(recording, { windowMs: 40 })
    for (const windowMs of [5, 100, 1]) {
      await turn(20)
      served.serving.setWindowMs(windowMs)
    }
    await served.ended
    await served.serving.finish()
    expect(totalsOf(served.windows())).toEqual(expected)
  })
})

describe('a recording that begins anew', () => {
  const list = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

  test('is never shown to the model mixed with its own end', async () => {
    const seen: string[] = []
    const session = meanSession((_, input) => seen.push(input.join()))
    const windows = await windowsOver(recordingOf([1, 2, 3, 10]), { session, passes: 3 })
    expect(seen).toEqual(['1,2,3', '2,3,10', '1,2,3', '2,3,10', '1,2,3', '2,3,10'])
    expect(totalsOf(windows)).toMatchObject({ readings: 12, inferences: 6, errors: 0, warmUp: 6 })
  })

  test('has no increment over the seam, and ends an episode there', async () => {
    const windows = await windowsOver(recordingOf(list), { passes: 8 })
    const { drift, episodes } = totalsOf(windows)
    const steps = drift.map(({ features }) => features['step']!)
    // A step over the seam would be -11; the missing ones are of warm-up, which is not counted.
    expect(new Set(steps.map(({ counts }) => counts.filter((count) => count > 0).length))).toEqual(
      new Set([1]),
    )
    expect(episodes).toHaveLength(8)
    expect(new Set(episodes.map(({ detail }) => detail['positions']))).toHaveProperty('size', 8)
  })

  test('is resumed exactly, wherever it was killed', async () => {
    const property = fc.asyncProperty(values, fc.nat(12), async (recorded, survived) => {
      const recording = recordingOf(recorded)
      const expected = totalsOf(await windowsOver(recording, { passes: 3 }))
      const first = await windowsOver(recording, { passes: 3 })
      const kept = first.slice(0, Math.min(survived, first.length - 2))
      const checkpoint = kept.at(-1)?.checkpoint
      kept.push(...(await windowsOver(recording, { passes: 3, ...(checkpoint && { checkpoint }) })))
      expect(totalsOf(kept)).toEqual(expected)
      const { readings, inferences, errors, warmUp } = expected
      expect(readings).toBe(inferences + errors + warmUp)
    })
    await fc.assert(property, { numRuns: 30 })
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

  test('a release that comes back goes on with its drift windows, however many served meanwhile', async () => {
    const recording = recordingOf(Array.from({ length: 60 }, (_, i) => (i * 13) % 11))
    const indexes: number[] = []
    let checkpoint: Checkpoint | undefined
    for (const letter of 'abcabca') {
      const windows = await windowsOver(recording, {
        serves: { ...serves, releaseDigest: letter.repeat(64) },
        ...(checkpoint && { checkpoint: { ...checkpoint, source: { pass: 0, index: 0 } } }),
      })
      if (letter === 'a') indexes.push(...totalsOf(windows).drift.map(({ index }) => index))
      checkpoint = windows.at(-1)!.checkpoint
    }
    expect(indexes.length).toBeGreaterThan(15)
    expect(indexes).toEqual(indexes.map((_, i) => i))
  })

  test('of the releases that are long gone, the oldest are forgotten', () => {
    let known: Record<string, number> = {}
    for (let i = 0; i < 100; i++) known = withIndex(known, `r${i}`, i)
    known = withIndex(known, 'r70', 7)
    expect(Object.keys(known)).toHaveLength(releasesMax)
    expect([known['r67'], known['r68'], known['r70']]).toEqual([undefined, 68, 70])
    expect(Object.keys(known).at(-1)).toBe('r70')
    expect(withIndex(known, 'no-profile', undefined)).toEqual(known)
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
