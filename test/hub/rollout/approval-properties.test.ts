import { approvalDeeds, questionOf, sha256Of } from '@godwit/hub/rollout/approval'
import type { PlanRequest } from '@godwit/hub/rollout/plan'
import type { Rollout } from '@godwit/hub/rollout/rollout'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bench, committed, evidenceOf, quick, rolloutOf } from './fixture.ts'

const people = ['ana', 'bob', 'cleo', 'dora'].map((name) => ({ id: name, name }))
const devices = ['d0', 'd1', 'd2', 'd3']

const anyMove = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      move: fc.constant('say' as const),
      person: fc.constantFrom(...people),
      deed: fc.oneof(
        { weight: 30, arbitrary: fc.constant('approve' as const) },
        { weight: 1, arbitrary: fc.constantFrom(...approvalDeeds) },
      ),
      /** Of what is asked, of the whole, of a wave, or of something else. */
      of: fc.constantFrom('asked', 'asked', 'asked', 'asked', 'whole', 'rest', 'other'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      move: fc.constant('people' as const),
      present: fc.subarray(people, { minLength: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      move: fc.constant('order' as const),
      order: fc.constantFrom('start', 'pause', 'resume', 'retry'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ move: fc.constant('edit' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ move: fc.constant('well' as const), ticks: fc.integer({ min: 1, max: 5 }) }),
  },
)
type Move = typeof anyMove extends fc.Arbitrary<infer M> ? M : never

function start(count: number, waveCount: number, startAt: number): Bench {
  const wave = { ...quick, successShare: 0 }
  const plan: PlanRequest = {
    approvals: { count },
    startAt,
    waves: [
      { name: 'canary', size: { count: 1 }, ...wave },
      { name: 'rest', size: { rest: true }, ...wave, approvals: { count: waveCount } },
    ],
  }
  const bench = new Bench(rolloutOf(plan, [1, 3], { phase: 'draft', creatorId: 'ana' }))
  bench.approvers = { minimum: 0, people }
  return bench.order('start')
}

function play(bench: Bench, move: Move): void {
  if (move.move === 'people') bench.approvers = { minimum: 0, people: move.present }
  if (move.move === 'order') bench.order(move.order as 'start')
  if (move.move === 'edit') {
    const { rollout } = bench
    bench.rollout = { ...rollout, plan: { ...rollout.plan, maxInFlight: rollout.plan.maxInFlight + 1 } }
  }
  if (move.move === 'well') {
    bench.evidence = evidenceOf(devices)
    bench.tick(1_000, move.ticks)
    for (const id of devices) bench.answer(id, committed)
  }
  if (move.move !== 'say') return
  const { rollout, approvers, now: at } = bench
  const hashes: Record<string, string> = {
    asked: questionOf(rollout, approvers)?.sha256 ?? sha256Of(rollout, null),
    whole: sha256Of(rollout, null),
    rest: sha256Of(rollout, 'rest'),
  }
  const sha256 = hashes[move.of] ?? '0'.repeat(64)
  const { deed: type, person } = move
  bench.send({ type, at, who: person.name, person, sha256, reason: 'because', approvers })
}

/** As the requirement says it, in other words than the code's. */
function countOf(rollout: Rollout, wave: string | null, present: readonly { id: string }[]): number {
  const valid = rollout.approvals.filter(
    (approval) => approval.wave === wave && approval.sha256 === sha256Of(rollout, wave),
  )
  const said = new Set(valid.map(({ person }) => person.id))
  said.delete('ana')
  return present.filter(({ id }) => said.has(id)).length
}

describe('whoever says what, and in whatever order', () => {
  test('nothing starts, and no wave opens, without enough others who may approve just this at that moment', () => {
    const seen = { starts: 0, opened: 0 }
    const anyCount = fc.integer({ min: 1, max: 2 })
    fc.assert(
      fc.property(
        ...([
          anyCount,
          anyCount,
          fc.constantFrom(0, 20_000),
          fc.array(anyMove, { minLength: 30, maxLength: 60 }),
        ] as const),
        (count, waveCount, startAt, moves) => {
          const bench = start(count, waveCount, startAt)
          bench.onStep = (before, after) => {
            const { people } = bench.approvers
            const waited = before.phase === 'awaiting_approval' || before.phase === 'scheduled'
            if (waited && after.phase === 'running') {
              seen.starts++
              expect(countOf(before, null, people)).toBeGreaterThanOrEqual(count)
            }
            if (before.waves[1]!.state === 'awaiting_approval' && after.waves[1]!.state === 'open') {
              seen.opened++
              expect(countOf(before, 'rest', people)).toBeGreaterThanOrEqual(waveCount)
            }
          }
          for (const move of moves) play(bench, move)
        },
      ),
      { numRuns: 500 },
    )
    // Otherwise it would have looked at nothing.
    expect(seen.starts).toBeGreaterThan(20)
    expect(seen.opened).toBeGreaterThan(5)
  })

  test('no device is directed before the start', () => {
    fc.assert(
      fc.property(fc.array(anyMove, { maxLength: 40 }), (moves) => {
        const bench = start(2, 1, 0)
        bench.onStep = (before, _after, actions) => {
          if (actions.some((action) => action.do === 'direct')) expect(before.phase).toBe('running')
        }
        for (const move of moves) play(bench, move)
      }),
      { numRuns: 300 },
    )
  })
})
