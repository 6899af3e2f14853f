import { nobody } from '@godwit/hub/rollout/approval'
import type { Evidence } from '@godwit/hub/rollout/judge'
import {
  type Action,
  isActive,
  type Rollout,
  type RolloutEvent,
  type RolloutPhase,
} from '@godwit/hub/rollout/rollout'
import { verdictSentence } from '@godwit/hub/rollout/sentence'
import { step } from '@godwit/hub/rollout/step'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { at, Bench, committed, evidenceOf, previous, quick, refused, rolloutOf } from './fixture.ts'

const devices = ['d0', 'd1', 'd2', 'd3']
const orders = ['start', 'pause', 'resume', 'abort', 'rollback', 'retry'] as const

type Move =
  | { move: 'tick'; advanceMs: number; sampled: string[]; bad: boolean }
  | { move: 'answer'; deviceId: string; what: 'committed' | 'refused' | 'lost' | 'downloading' | 'back' }
  | { move: 'order'; order: (typeof orders)[number] }
  | { move: 'revoke'; deviceId: string }
  /** A stretch in which everything goes well: without it random moves hardly ever get through a wave. */
  | { move: 'well'; ticks: number }

const anyMove: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      move: fc.constant('tick' as const),
      advanceMs: fc.constantFrom(1, 500, 1_000, 60_000),
      sampled: fc.subarray(devices),
      bad: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      move: fc.constant('answer' as const),
      deviceId: fc.constantFrom(...devices),
      what: fc.constantFrom('committed', 'committed', 'refused', 'lost', 'downloading', 'back'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ move: fc.constant('order' as const), order: fc.constantFrom(...orders) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ move: fc.constant('well' as const), ticks: fc.integer({ min: 1, max: 12 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ move: fc.constant('revoke' as const), deviceId: fc.constantFrom(...devices) }),
  },
)

const anyPlan = fc.record({
  onFailure: fc.constantFrom('pause' as const, 'rollback' as const),
  maxInFlight: fc.integer({ min: 1, max: 4 }),
  successShare: fc.constantFrom(0, 0.5, 1),
})

function start(options: {
  onFailure: 'pause' | 'rollback'
  maxInFlight: number
  successShare: number
}): Bench {
  const wave = { ...quick, successShare: options.successShare }
  const { onFailure, maxInFlight } = options
  const waves = [
    { name: 'canary', size: { count: 1 }, ...wave },
    { name: 'rest', size: { rest: true as const }, ...wave },
  ]
  return new Bench(rolloutOf({ onFailure, maxInFlight, waves }, [1, 3]))
}

function play(bench: Bench, move: Move): void {
  switch (move.move) {
    case 'tick':
      bench.evidence = evidenceOf(move.sampled, move.bad ? { errors: 50 } : {})
      bench.tick(move.advanceMs)
      return
    case 'answer':
      bench.answer(move.deviceId, (version) =>
        move.what === 'committed'
          ? committed(version)
          : move.what === 'back'
            ? committed(version, previous)
            : move.what === 'downloading'
              ? at(version, 'downloading')
              : refused(version, move.what === 'lost' ? 'link_lost' : 'selftest_accuracy'),
      )
      return
    case 'well':
      bench.evidence = evidenceOf(devices)
      bench.tick(1_000, move.ticks)
      for (const id of devices)
        bench.answer(id, (v) => committed(v, goingBack(bench.rollout) ? previous : undefined))
      return
    case 'order':
      bench.order(move.order)
      return
    case 'revoke':
      bench.send({ type: 'revoked', at: bench.now, deviceId: move.deviceId })
  }
}

function goingBack({ phase }: Rollout): boolean {
  return phase === 'rolling_back' || phase === 'rolled_back'
}

function everyStep(
  check: (before: Rollout, after: Rollout, actions: readonly Action[], evidence: Evidence) => void,
): void {
  fc.assert(
    fc.property(anyPlan, fc.array(anyMove, { maxLength: 40 }), (plan, moves) => {
      const bench = start(plan)
      bench.onStep = (before, after, actions) => check(before, after, actions, bench.evidence)
      for (const move of moves) play(bench, move)
    }),
    { numRuns: 500 },
  )
}

describe('whatever happens', () => {
  test('a wave passes only when every updated device of it has its sample, and there is at least one', () => {
    let passes = 0
    everyStep((before, after, _actions, evidence) => {
      after.waves.forEach((wave, index) => {
        if (wave.state !== 'passed' || before.waves[index]!.state === 'passed') return
        passes++
        const updated = [...after.deployments.values()].filter(
          (d) => d.wave === index && d.state === 'succeeded',
        )
        expect(updated.length).toBeGreaterThan(0)
        for (const { deviceId } of updated)
          expect(evidence.get(deviceId)?.inferences).toBeGreaterThanOrEqual(quick.minSample)
      })
    })
    expect(passes).toBeGreaterThan(20)
  })

  test('only a running rollout directs, and only one that goes back restores', () => {
    everyStep((before, _after, actions) => {
      for (const action of actions) {
        if (action.do === 'direct') expect(before.phase).toBe('running')
        if (action.do === 'restore') expect(['rolling_back', 'aborted']).toContain(before.phase)
      }
    })
  })

  test('no device of a later wave is directed before the waves before it have passed', () => {
    everyStep((before, _after, actions) => {
      for (const action of actions) {
        if (action.do !== 'direct') continue
        const wave = Math.max(...action.deviceIds.map((id) => before.deployments.get(id)!.wave))
        for (const earlier of before.waves.slice(0, wave)) expect(earlier.state).toBe('passed')
      }
    })
  })

  test('never more devices are at work than maxInFlight', () => {
    const working = new Set(['directed', 'downloading', 'verifying', 'installing', 'probing'])
    everyStep((before, after) => {
      const count = (rollout: Rollout) =>
        [...rollout.deployments.values()].filter((d) => working.has(d.state)).length
      // A device that was given up may report that it works after all; the hub itself starts nobody beyond the limit.
      expect(count(after)).toBeLessThanOrEqual(Math.max(after.plan.maxInFlight, count(before) + 1))
    })
  })

  test('what is over stays over, but for the rollback that an operator may still want', () => {
    const after_: Partial<Record<RolloutPhase, RolloutPhase[]>> = {
      completed: ['completed', 'rolling_back'],
      aborted: ['aborted', 'rolling_back'],
      rolled_back: ['rolled_back'],
    }
    everyStep((before, after) => {
      if (!isActive(before)) expect(after_[before.phase]).toContain(after.phase)
    })
  })

  test('the same tick again does nothing more than the first did', () => {
    fc.assert(
      fc.property(anyPlan, fc.array(anyMove, { maxLength: 30 }), (plan, moves) => {
        const bench = start(plan)
        for (const move of moves) play(bench, move)
        // Until it rests: every state on the way is a step of its own.
        bench.tick(0, 12)
        const rested = bench.rollout
        const seen = bench.actions.length
        bench.tick(0)
        expect(bench.actions.slice(seen)).toEqual([])
        expect(JSON.stringify([...bench.rollout.deployments])).toBe(JSON.stringify([...rested.deployments]))
        expect(bench.rollout.phase).toBe(rested.phase)
      }),
      { numRuns: 300 },
    )
  })

  test('a step is a function: the same rollout and event give the same answer', () => {
    fc.assert(
      fc.property(anyPlan, fc.array(anyMove, { maxLength: 30 }), (plan, moves) => {
        const bench = start(plan)
        for (const move of moves) play(bench, move)
        const tick = { type: 'tick', at: bench.now + 1_000, evidence: bench.evidence } as const
        const event: RolloutEvent = { ...tick, approvers: nobody }
        const [once, twice] = [step(bench.rollout, event), step(bench.rollout, event)]
        expect(JSON.stringify(twice)).toBe(JSON.stringify(once))
      }),
      { numRuns: 200 },
    )
  })

  test('every phase and every state of a wave is reached, and each has its sentence', () => {
    const phases = new Set<string>()
    const waves = new Set<string>()
    everyStep((_before, after) => {
      phases.add(after.phase)
      for (const { state } of after.waves) waves.add(state)
      expect(verdictSentence(after)).toMatch(/^[A-Z].*\.$/)
    })
    expect([...phases].sort()).toEqual([
      'aborted',
      'completed',
      'paused',
      'rolled_back',
      'rolling_back',
      'running',
    ])
    expect([...waves].sort()).toEqual(['failed', 'held', 'judging', 'open', 'passed', 'pending', 'soaking'])
  })
})
