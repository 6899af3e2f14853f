import { allowedActions } from '@godwit/hub/rollout/rollout'
import { verdictSentence } from '@godwit/hub/rollout/sentence'
import { describe, expect, test } from 'vitest'
import { at, Bench, committed, evidenceOf, previous, quick, refused, rolloutOf, twoWaves } from './fixture.ts'

/** The first wave updated, with evidence, and soaked; the second one directed. */
function secondWaveOpen(plan = twoWaves, counts = [1, 2]): Bench {
  const bench = new Bench(rolloutOf(plan, counts)).tick(1, 2).answer('d0', committed)
  bench.evidence = evidenceOf(['d0'])
  return bench.tick(1).tick(1_000).tick(1, 4)
}

describe('a rollout that goes well', () => {
  test('directs the canary alone, soaks, judges, then directs the rest and completes', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2)
    expect(bench.directed()).toEqual(['d0'])
    expect(bench.waves).toBe('open pending')
    bench.answer('d0', (v) => at(v, 'downloading'))
    expect(bench.state('d0')).toBe('downloading')
    bench.answer('d0', (v) => at(v, 'self_testing')).answer('d0', (v) => at(v, 'probation'))
    expect(bench.state('d0')).toBe('probing')
    bench.answer('d0', committed).tick()
    expect(bench.waves).toBe('soaking pending')
    bench.evidence = evidenceOf(['d0'])
    bench.tick(999)
    expect(bench.waves).toBe('soaking pending')
    bench.tick(1)
    expect(bench.waves).toBe('judging pending')
    bench.tick()
    expect(bench.waves).toBe('passed pending')
    bench.tick(1, 2)
    expect(bench.directed()).toEqual(['d0', 'd1', 'd2'])
    bench.answer('d1', committed).answer('d2', committed)
    bench.evidence = evidenceOf(['d1', 'd2'])
    bench.tick().tick(1_000).tick().tick()
    expect(bench.rollout.phase).toBe('completed')
    expect(verdictSentence(bench.rollout)).toBe('Completed: 3 of 3 devices run gauge 2.')
  })

  test('directs no more devices at once than maxInFlight, and the next when one has ended', () => {
    const plan = {
      ...twoWaves,
      maxInFlight: 2,
      waves: [{ name: 'all', size: { rest: true as const }, ...quick }],
    }
    const bench = new Bench(rolloutOf(plan, [5])).tick(1, 3)
    expect(bench.directed()).toEqual(['d0', 'd1'])
    bench.answer('d0', committed).tick(1, 2)
    expect(bench.directed()).toEqual(['d0', 'd1', 'd2'])
  })

  test('waits for its start', () => {
    const bench = new Bench(rolloutOf({ ...twoWaves, startAt: 5_000 }, [1, 2], { phase: 'scheduled' }))
    expect(bench.tick(1_000, 3).rollout.phase).toBe('scheduled')
    expect(bench.tick(1_000).rollout.phase).toBe('running')
  })
})

describe('missing data', () => {
  test('holds a wave whose devices report nothing, for ever', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', committed).tick(1_000, 3).tick(86_400_000, 5)
    expect(bench.waves).toBe('held pending')
    expect(bench.directed()).toEqual(['d0'])
    expect(verdictSentence(bench.rollout)).toContain('Held at wave 1 of 2 (canary): smallest sample')
  })

  test('holds a wave with one inference less than its sample, and passes with the last one', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', committed)
    bench.evidence = evidenceOf(['d0'], { inferences: 9 })
    bench.tick(1_000, 4)
    expect(bench.waves).toBe('held pending')
    bench.evidence = evidenceOf(['d0'], { inferences: 10 })
    expect(bench.tick().waves).toBe('passed pending')
  })

  test('a wave that nobody answered ends unreached and is held, not passed', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).tick(60_000).tick(1_000, 4)
    expect(bench.state('d0')).toBe('unreached')
    expect(bench.waves).toBe('held pending')
  })

  test('an unreached device that comes after all still counts', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).tick(60_000).tick(1_000, 4).answer('d0', committed)
    bench.evidence = evidenceOf(['d0'])
    expect(bench.tick().waves).toBe('passed pending')
  })

  test('unreached devices neither block the others of their wave nor count as success', () => {
    const bench = secondWaveOpen().answer('d1', committed)
    bench.evidence = evidenceOf(['d1'])
    bench.tick(60_000).tick(1_000).tick().tick(1_000, 4)
    expect(bench.state('d2')).toBe('unreached')
    expect(bench.rollout.phase).toBe('completed')
    expect(verdictSentence(bench.rollout)).toBe('Completed: 2 of 3 devices run gauge 2, 1 not reached.')
  })

  test('drift that is not computed yet holds a wave that has a gate on it', () => {
    const plan = {
      waves: [
        {
          name: 'all',
          size: { rest: true as const },
          ...quick,
          gates: [{ metric: 'drift_evidence' as const, max: 25 }],
        },
      ],
    }
    const bench = new Bench(rolloutOf(plan, [1])).tick(1, 2).answer('d0', committed)
    bench.evidence = evidenceOf(['d0'], { drift: { word: 'not-enough-data', peak: 2 } })
    expect(bench.tick(1_000, 5).waves).toBe('held')
    bench.evidence = evidenceOf(['d0'], { drift: { word: 'quiet', peak: 2 } })
    expect(bench.tick().waves).toBe('passed')
  })
})

describe('a wave that fails', () => {
  test('stops the rollout when the canary refuses the release, and says why', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', refused).tick()
    expect(bench.rollout.phase).toBe('paused')
    expect(bench.waves).toBe('failed pending')
    bench.tick(1_000, 20)
    expect(bench.directed()).toEqual(['d0'])
    expect(verdictSentence(bench.rollout)).toBe(
      'Paused at wave 1 of 2 (canary): success share 0 % < 95 % (1 of 1 devices): selftest_accuracy, ' +
        'since 00:00 UTC. No further device is directed.',
    )
  })

  test('does not wait for the other devices once the success share is out of reach', () => {
    const plan = {
      ...twoWaves,
      waves: [{ name: 'all', size: { rest: true as const }, ...quick, successShare: 0.75 }],
    }
    const bench = new Bench(rolloutOf(plan, [4])).tick(1, 2).answer('d0', refused).tick()
    expect(bench.rollout.phase).toBe('running')
    expect(bench.answer('d1', refused).tick().rollout.phase).toBe('paused')
  })

  test('fails on errors before its soak is over, because waiting only hurts more devices', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', committed).tick()
    bench.evidence = evidenceOf(['d0'], { inferences: 90, errors: 10 })
    bench.tick()
    expect(bench.rollout.phase).toBe('paused')
    expect(verdictSentence(bench.rollout)).toContain('error rate 10 % > 2 % (1 of 1 devices)')
  })

  test.each([
    ['p95_micros' as const, 500, 'p95 latency 1 ms > 0.5 ms (1 of 1 devices)'],
    ['drift_evidence' as const, 1, 'drift evidence 1.5 > 1 (1 of 1 devices)'],
  ])('fails on %s and names value, limit and sample', (metric, max, sentence) => {
    const plan = {
      waves: [{ name: 'all', size: { rest: true as const }, ...quick, gates: [{ metric, max }] }],
    }
    const bench = new Bench(rolloutOf(plan, [1])).tick(1, 2).answer('d0', committed)
    bench.evidence = evidenceOf(['d0'])
    expect(bench.tick().rollout.phase).toBe('paused')
    expect(bench.rollout.reason?.text).toBe(sentence)
  })

  test('records the numbers it decided by', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', refused).tick()
    const record = bench.actions.find((action) => action.do === 'record' && action.kind === 'wave_failed')
    expect(record).toMatchObject({
      evidence: [{ name: 'success_share', value: 0, threshold: 0.95, n: 1, of: 1 }, {}, {}],
    })
  })

  test('rolls back everybody it has directed when the plan says so', () => {
    const bench = secondWaveOpen({ ...twoWaves, onFailure: 'rollback' })
      .answer('d1', refused)
      .tick(1, 2)
    expect(bench.rollout.phase).toBe('rolling_back')
    expect(bench.restored().sort()).toEqual(['d0', 'd1', 'd2'])
    for (const id of ['d0', 'd1', 'd2']) bench.answer(id, (v) => committed(v, previous))
    bench.tick()
    expect(bench.rollout.phase).toBe('rolled_back')
    expect(bench.rollout.reason?.text).toBe(
      '3 devices are back on their previous release; 0 not reached, 0 failed',
    )
  })
})

describe('an operator', () => {
  test('pauses, and nobody is directed until the resume', () => {
    const bench = secondWaveOpen(twoWaves, [1, 2])
    const before = new Bench(rolloutOf()).tick(1, 1).order('pause').tick(1_000, 10)
    expect(before.directed()).toEqual([])
    expect(before.order('resume').tick(1, 2).directed()).toEqual(['d0'])
    expect(bench.order('pause').rollout.reason).toMatchObject({ who: 'ana', text: 'because' })
  })

  test('resumes a failed wave: what failed is overruled, what happens from now on is judged', () => {
    const bench = secondWaveOpen().answer('d1', refused).tick()
    expect(bench.rollout.phase).toBe('paused')
    bench.order('resume').answer('d2', committed)
    bench.evidence = evidenceOf(['d2'])
    bench.tick(1, 3)
    expect(bench.rollout.phase).toBe('running')
    bench.tick(1_000, 3)
    expect(bench.rollout.phase).toBe('completed')
  })

  test('who was overruled and tries again is judged by the second try', () => {
    const bench = new Bench(rolloutOf())
      .tick(1, 2)
      .answer('d0', (v) => refused(v, 'link_lost'))
      .tick()
      .order('resume')
      .tick()
    expect(bench.rollout.waves[0]?.overruled).toEqual(['d0'])
    bench.order('retry').tick(1, 2).answer('d0', refused).tick()
    expect(bench.rollout.phase).toBe('paused')
  })

  test('a failure in the very millisecond in which the wave opened counts', () => {
    const bench = new Bench(rolloutOf()).tick(0, 2).answer('d0', refused).tick(0)
    expect(bench.rollout.phase).toBe('paused')
  })

  test('aborts: whoever is not done goes back, whoever is done keeps the release, and offline ones never install it', () => {
    const bench = secondWaveOpen()
      .answer('d1', (v) => at(v, 'downloading'))
      .order('abort')
      .tick()
    expect(bench.rollout.phase).toBe('aborted')
    expect(bench.restored().sort()).toEqual(['d1', 'd2'])
    expect(bench.state('d0')).toBe('succeeded')
    expect(bench.rollout.toRestore).toEqual([])
  })

  test('rolls back a completed rollout', () => {
    const plan = { waves: [{ name: 'all', size: { rest: true as const }, ...quick }] }
    const bench = new Bench(rolloutOf(plan, [1])).tick(1, 2).answer('d0', committed)
    bench.evidence = evidenceOf(['d0'])
    bench.tick(1_000, 5)
    expect(bench.rollout.phase).toBe('completed')
    bench
      .order('rollback')
      .tick()
      .answer('d0', (v) => committed(v, previous))
      .tick()
    expect(bench.rollout.phase).toBe('rolled_back')
    expect(bench.state('d0')).toBe('rolled_back')
  })

  test('retries what may be retried, by a forced directive, and nothing else', () => {
    const bench = secondWaveOpen()
      .answer('d1', (v) => refused(v, 'link_lost'))
      .answer('d2', refused)
      .tick()
    expect(allowedActions(bench.rollout)).toContain('retry')
    bench.order('retry')
    expect([bench.state('d1'), bench.state('d2')]).toEqual(['pending', 'failed'])
    bench.order('resume').tick(1, 3)
    expect(bench.actions.filter((action) => action.do === 'direct').at(-1)).toEqual({
      do: 'direct',
      deviceIds: ['d1'],
      force: true,
    })
    expect(allowedActions(bench.rollout)).not.toContain('retry')
  })

  test('is offered exactly what the machine would do', () => {
    const orders = ['start', 'pause', 'resume', 'abort', 'rollback', 'retry'] as const
    const phases = [
      'draft',
      'scheduled',
      'running',
      'paused',
      'completed',
      'aborted',
      'rolling_back',
      'rolled_back',
    ] as const
    for (const phase of phases) {
      const base = { ...secondWaveOpen().rollout, phase }
      for (const order of orders) {
        const bench = new Bench(base).order(order)
        expect([phase, order, bench.rollout !== base]).toEqual([
          phase,
          order,
          allowedActions(base).includes(order),
        ])
      }
    }
  })
})

describe('a crash', () => {
  test('between the decision and the signature: the next tick directs the same devices again', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2)
    const lost = new Map(
      [...bench.rollout.deployments].map(([id, d]) => [id, { ...d, directiveVersion: null }]),
    )
    bench.rollout = { ...bench.rollout, deployments: lost }
    expect(bench.tick().directed()).toEqual(['d0', 'd0'])
    expect(bench.rollout.deployments.get('d0')?.directiveVersion).toBe(2)
  })

  test('between an abort and the way back: the next tick asks for it again', () => {
    const bench = secondWaveOpen().order('abort')
    const again = new Bench(bench.rollout).tick()
    expect(again.restored().sort()).toEqual(['d1', 'd2'])
    expect(again.tick().restored()).toHaveLength(2)
  })
})

describe('what a device says', () => {
  test('about an older directive is not an answer to ours', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2)
    bench.versions.set('d0', 7)
    bench.rollout = {
      ...bench.rollout,
      deployments: new Map(
        [...bench.rollout.deployments].map(([id, d]) => [
          id,
          id === 'd0' ? { ...d, directiveVersion: 7 } : d,
        ]),
      ),
    }
    expect(bench.answer('d0', () => refused(6)).state('d0')).toBe('directed')
    expect(bench.answer('d0', () => committed(7)).state('d0')).toBe('succeeded')
  })

  test('again and late changes nothing that is over', () => {
    const bench = new Bench(rolloutOf()).tick(1, 2).answer('d0', committed)
    const before = bench.rollout
    expect(bench.answer('d0', committed).rollout).toBe(before)
    expect(bench.answer('d0', (v) => at(v, 'downloading')).rollout).toBe(before)
  })

  test('silence in the middle of a download is a retryable failure, silence from the start is unreached', () => {
    const plan = { waves: [{ name: 'all', size: { rest: true as const }, ...quick }] }
    const bench = new Bench(rolloutOf(plan, [2]))
      .tick(1, 2)
      .answer('d0', (v) => at(v, 'downloading'))
      .tick(60_000)
    expect(bench.rollout.deployments.get('d0')).toMatchObject({ state: 'failed', code: 'link_lost' })
    expect(bench.state('d1')).toBe('unreached')
  })

  test('a revoked device is skipped, wherever it stood', () => {
    const bench = secondWaveOpen().send({ type: 'revoked', at: 9_000, deviceId: 'd1' })
    expect(bench.state('d1')).toBe('skipped')
  })
})
