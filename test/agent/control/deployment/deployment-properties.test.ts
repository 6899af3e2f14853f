import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Deployer, type DeployerDeps } from '@godwit/agent/control/deployment/deployer'
import {
  attemptsMax,
  isAtRest,
  maySupersede,
  moves,
  next,
  repairsMax,
  type Signal,
  signals,
} from '@godwit/agent/control/deployment/deployment'
import { type Deployment, Journal } from '@godwit/agent/control/deployment/journal'
import { settle } from '@godwit/agent/control/deployment/settle'
import { Standing, type StandingDeps } from '@godwit/agent/control/deployment/standing'
import type { Outcome } from '@godwit/agent/control/deployment/steps'
import { silentLog } from '@godwit/agent/control/log'
import { pathsIn } from '@godwit/agent/control/paths'
import { openDatabase } from '@godwit/agent/control/state/database'
import { type Phase, phases } from '@godwit/protocol/phase'
import { resultCodeNames } from '@godwit/protocol/result-code'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { quickProbation } from '../support/fake-hub.ts'

const phase = fc.constantFrom(...phases)
const signal = fc.constantFrom(...signals)
const seed = 20_261_123

describe('the table', () => {
  test('answers every signal in every phase with a phase of its own, or with a throw', () => {
    fc.assert(
      fc.property(phase, signal, (from, heard) => {
        const to = moves[from][heard]
        if (to === undefined) expect(() => next(from, heard)).toThrow(`no move from ${from} on ${heard}`)
        else expect(phases).toContain(next(from, heard))
      }),
      { seed },
    )
  })

  test('whatever has happened, so many successes lead to rest', () => {
    const lives = fc.array(signal, { maxLength: 40 })
    fc.assert(
      fc.property(lives, (heard) => {
        let at: Phase = 'idle'
        for (const one of heard) at = moves[at][one] ?? at
        for (let steps = 0; !isAtRest(at); steps++) {
          expect(steps).toBeLessThan(phases.length)
          at = next(at, 'done')
        }
      }),
      { seed },
    )
  })

  test('what may be superseded may be content with what serves, and nothing else may but what is at rest', () => {
    for (const one of phases)
      expect(moves[one].content, one).toBe(maySupersede(one) || isAtRest(one) ? 'committed' : undefined)
  })
})

describe('a deployment that is told anything, in any order', () => {
  let directory: string
  let journal: Journal
  let standing: Standing
  let deps: StandingDeps
  let ends: Deployment[]
  let desired: ReturnType<StandingDeps['desired']>
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'godwit-table-'))
    const paths = pathsIn(directory)
    const { database } = openDatabase(paths.database, 0)
    // Hundreds of lives: nobody pulls the plug on this one.
    database.run('PRAGMA synchronous = OFF')
    journal = new Journal(database, paths)
    deps = {
      ...{ slot: 'default', database, journal, log: silentLog },
      serving: { discardCandidate: async () => {} },
      desired: () => desired,
      onChange: () => {},
      recordEnd: (deployment) => ends.push(deployment),
      onEnd: () => {},
    }
    standing = new Standing(deps)
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const goalOf = (releaseDigest: string) => ({
    ...{ model: 'm', version: '1', releaseDigest, releaseBytes: 1, probation: quickProbation },
  })
  const outcome: fc.Arbitrary<Outcome> = fc.oneof(
    { weight: 4, arbitrary: fc.constant<Outcome>({ signal: 'done' }) },
    { weight: 2, arbitrary: fc.constant<Outcome>({ signal: 'missing' }) },
    {
      weight: 3,
      arbitrary: fc.record({
        signal: fc.constant('wait' as const),
        code: fc.constantFrom(...resultCodeNames),
        detail: fc.constant('not now'),
        counts: fc.boolean(),
        progressed: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        signal: fc.constant('failed' as const),
        code: fc.constantFrom(...resultCodeNames),
        detail: fc.constant('bad'),
      }),
    },
  )
  const happening = fc.oneof(
    { weight: 5, arbitrary: fc.record({ what: fc.constant('step' as const), outcome }) },
    {
      weight: 1,
      arbitrary: fc.record({
        what: fc.constant('directive' as const),
        digest: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
      }),
    },
  )

  test('keeps its counters in bounds, tells each end once, and comes to rest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 60 }), async (happenings) => {
        ends = []
        desired = undefined
        let version = 0
        const fresh = { phase: 'idle' as const, directiveVersion: 0, attempt: 0, repairs: 0, answered: 0 }
        journal.writeDeployment('default', fresh)
        const perform = async (come: Outcome) => {
          const { deployment } = standing.read()
          if (isAtRest(deployment.phase)) return
          const max = attemptsMax[deployment.phase] ?? Number.POSITIVE_INFINITY
          // As the loop does: begun is counted before it begins, and no more often than allowed.
          if (deployment.attempt < max) standing.write({ ...deployment, attempt: deployment.attempt + 1 })
          const told = isKnown(deployment.phase, come) ? come : ({ signal: 'done' } as const)
          await settle({ ...deps, standing, time: { nowMs: () => 0 } as never }, told)
        }
        for (const one of happenings) {
          const before = ends.length
          if (one.what === 'directive') {
            const goal = one.digest === undefined ? undefined : goalOf(one.digest)
            desired = { goal, directiveVersion: ++version }
            standing.consider()
            const { deployment } = standing.read()
            standing.consider()
            expect(standing.read().deployment).toEqual(deployment)
          } else await perform(one.outcome)
          const { deployment } = standing.read()
          expect(deployment.attempt).toBeGreaterThanOrEqual(0)
          expect(deployment.attempt).toBeLessThanOrEqual(attemptsMax[deployment.phase] ?? 61)
          expect(deployment.repairs).toBeLessThanOrEqual(repairsMax)
          expect(ends.length - before).toBeLessThanOrEqual(1)
          expect(deployment.answered).toBeLessThanOrEqual(deployment.directiveVersion)
        }
        for (let steps = 0; !isAtRest(standing.read().deployment.phase); steps++) {
          expect(steps).toBeLessThan(phases.length)
          await perform({ signal: 'done' })
        }
        const answers = ends.map(({ answered }) => answered)
        expect(answers).toEqual([...new Set(answers)])
      }),
      { numRuns: 60, seed },
    )
  })

  test.each([undefined, 'selftest_crash'] as const)(
    'given up because control ended in its last attempt (before: %s), it is not quarantined',
    async (code) => {
      ends = []
      desired = undefined
      const begun = { phase: 'self_testing' as const, directiveVersion: 1, repairs: 0, answered: 0 }
      const attempt = attemptsMax.self_testing!
      journal.writeDeployment('default', { ...begun, attempt, goal: goalOf('a'), ...(code && { code }) })
      const ended = new Promise<void>((resolve) => {
        const more = { hindrance: () => undefined, onEnd: resolve }
        new Deployer({ ...deps, ...more } as unknown as DeployerDeps).start()
      })
      await ended
      expect(ends).toMatchObject([{ phase: 'refused', code: 'selftest_crash' }])
      expect(journal.quarantined()).toEqual([])
    },
  )

  /** Rolling back neither fails nor misses anything, and some phases have nothing that could be missing. */
  function isKnown(at: Phase, { signal: heard }: Outcome): boolean {
    return heard === 'wait' || moves[at][heard as Signal] !== undefined
  }
})
