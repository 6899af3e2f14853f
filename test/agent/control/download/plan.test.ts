import type { Budget } from '@godwit/agent/control/download/budget'
import { Pacer } from '@godwit/agent/control/download/pacer'
import { bytesOf, firstRun, missingBlocks, type Wanted } from '@godwit/agent/control/download/plan'
import { TokenBucket } from '@godwit/agent/control/download/token-bucket'
import { describeFile } from '@godwit/protocol/release/blocks'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

describe('the plan of a download', () => {
  test('asks for exactly the missing bytes, in runs without holes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200_000 }), fc.uniqueArray(fc.nat(60)), (sizeBytes, have) => {
        const file = describeFile(new Uint8Array(sizeBytes), 4_096)
        const wanted = missingBlocks(file, new Set(have))
        const held = have.filter((index) => index < file.blocks.length)
        expect(wanted.map(({ index }) => index).sort((a, b) => a - b)).toEqual(
          file.blocks.map((_, i) => i).filter((i) => !held.includes(i)),
        )
        const runs: Wanted[][] = []
        for (let rest = wanted; rest.length > 0; rest = rest.slice(runs.at(-1)!.length))
          runs.push(firstRun(rest, 20_000))
        expect(runs.flat()).toEqual(wanted)
        for (const run of runs) {
          expect(bytesOf(run)).toBeLessThanOrEqual(20_000)
          for (const [i, block] of run.entries()) expect(block.index).toBe(run[0]!.index + i)
        }
      }),
      { numRuns: 100, seed: 7 },
    )
  })

  test('a capped download takes as long as the cap says', () => {
    const bucket = new TokenBucket(1_000, 0)
    expect(bucket.take(1_000, 0)).toBe(0)
    expect(bucket.take(500, 0)).toBe(500)
    expect(bucket.take(500, 1_000)).toBe(0)
  })

  test('waits out the cap of its link class, which what comes from next door does not', async () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const clock = { wallMs: () => Date.now(), monotonicMs: () => Date.now() }
    const pacer = new Pacer({ limits: { bytesPerSecondMax: 1_000 } } as Budget, clock)
    const { signal } = new AbortController()
    expect(await pacer.pace(100_000, false, signal)).toBe(0)
    expect(await pacer.pace(1_000, true, signal)).toBe(0)
    const start = Date.now()
    const paced = pacer.pace(2_000, true, signal).then((ms) => [ms, Date.now() - start])
    await vi.runAllTimersAsync()
    expect(await paced).toEqual([2_000, 2_000])
  })
})
