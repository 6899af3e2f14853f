import {
  isAtRest,
  maySupersede,
  moves,
  next,
  quarantines,
  signals,
} from '@godwit/agent/control/deployment/deployment'
import { answerTo } from '@godwit/agent/control/deployment/offers'
import { type Phase, phases } from '@godwit/protocol/phase'
import { resultCodeNames } from '@godwit/protocol/result-code'
import { describe, expect, test } from 'vitest'
import { quickProbation } from '../support/fake-hub.ts'

describe('the table', () => {
  test('has a row for every phase and no other', () => {
    expect(Object.keys(moves).sort()).toEqual([...phases].sort())
  })

  test('says of every phase what a power cut does to it, and a restart never skips or repeats a phase', () => {
    for (const phase of phases) expect(moves[phase].restarted).toBe(phase)
  })

  test('leads from every phase to rest, whatever happens', () => {
    const restless = (phase: Phase) =>
      signals.map((signal) => moves[phase][signal]).filter((to) => to !== undefined)
    for (const phase of phases.filter((p) => !isAtRest(p))) {
      const seen = new Set<Phase>([phase])
      for (const at of seen) for (const to of restless(at)) seen.add(to)
      expect([...seen].some(isAtRest), phase).toBe(true)
    }
  })

  test('lets nothing activate that was not self-tested', () => {
    const into = (target: Phase) =>
      phases.filter((phase) => signals.some((signal) => moves[phase][signal] === target))
    expect(into('activating')).toEqual(['self_testing'])
    expect(into('self_testing')).toEqual(['staged'])
    expect(into('probation')).toEqual(['activating'])
    // Or by being what serves already.
    const committing = phases.filter((phase) => moves[phase].done === 'committed')
    expect(committing).toEqual(['probation'])
  })

  test('supersedes until activating, and from there on ends first', () => {
    expect(phases.filter(maySupersede)).toEqual([
      'assigned',
      'checking',
      'downloading',
      'verified',
      'staged',
      'self_testing',
    ])
  })

  test('rolling back cannot fail', () => {
    expect(Object.keys(moves.rolling_back).sort()).toEqual(['done', 'restarted'])
  })

  test('a signal that a phase does not know is a bug, not an event', () => {
    expect(() => next('idle', 'done')).toThrow('no move from idle on done')
  })

  test('every row and every move, as a person reads them', () => {
    const lines = phases.map((phase) => {
      const row = signals.filter((s) => moves[phase][s]).map((s) => `${s} > ${moves[phase][s]}`)
      return `${phase}: ${row.join(', ')}; power cut > ${moves[phase].restarted}`
    })
    expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
      "
      idle: offered > assigned, failed > rolling_back, content > committed; power cut > idle
      assigned: done > checking, failed > refused, superseded > assigned, content > committed; power cut > assigned
      checking: done > downloading, failed > refused, missing > assigned, superseded > assigned, content > committed; power cut > checking
      downloading: done > verified, failed > refused, missing > assigned, superseded > assigned, content > committed; power cut > downloading
      verified: done > staged, failed > refused, missing > downloading, superseded > assigned, content > committed; power cut > verified
      staged: done > self_testing, failed > refused, missing > verified, superseded > assigned, content > committed; power cut > staged
      self_testing: done > activating, failed > refused, missing > staged, superseded > assigned, content > committed; power cut > self_testing
      activating: done > probation, failed > rolling_back; power cut > activating
      probation: done > committed, failed > rolling_back; power cut > probation
      committed: offered > assigned, failed > rolling_back, content > committed; power cut > committed
      rolling_back: done > rolled_back; power cut > rolling_back
      rolled_back: offered > assigned, failed > rolling_back, content > committed; power cut > rolled_back
      refused: offered > assigned, failed > rolling_back, content > committed; power cut > refused
      "
    `)
  })

  test('only what was found by running a release quarantines it', () => {
    const found = resultCodeNames.filter((code) => quarantines(code))
    expect(found.every((code) => /^(selftest|probation)_|^io_schema/.test(code))).toBe(true)
    for (const code of [
      'link_lost',
      'no_space',
      'superseded',
      'expired_metadata',
      'not_listed',
      'integrity',
    ] as const)
      expect(quarantines(code)).toBe(false)
    // Control ended again and again meanwhile, and that may have been the power.
    expect(quarantines('selftest_crash', true)).toBe(false)
  })
})

describe('a directive heard by a slot', () => {
  const goal = (releaseDigest: string) => ({
    model: 'm',
    version: '1',
    releaseDigest,
    releaseBytes: 1,
    probation: quickProbation,
  })
  const standing = (phase: Phase, change: object = {}) => ({
    phase,
    directiveVersion: 4,
    answered: 4,
    ...change,
  })

  test('is nothing new the second time, in any phase', () => {
    for (const phase of phases) {
      expect(answerTo(standing(phase), goal('a'), 4)).toBe('nothing')
      expect(answerTo(standing(phase), goal('a'), 3)).toBe('nothing')
    }
  })

  test('starts at rest, supersedes on the way, waits once the swap has begun', () => {
    const inWork = { goal: goal('old') }
    expect(answerTo(standing('idle'), goal('a'), 5)).toBe('start')
    expect(answerTo(standing('rolled_back', inWork), goal('a'), 5)).toBe('start')
    expect(answerTo(standing('downloading', inWork), goal('a'), 5)).toBe('supersede')
    expect(answerTo(standing('self_testing', inWork), goal('a'), 5)).toBe('supersede')
    for (const phase of ['activating', 'probation', 'rolling_back'] as const)
      expect(answerTo(standing(phase, inWork), goal('a'), 5)).toBe('wait')
  })

  test('with the release that is already on its way changes no step', () => {
    expect(answerTo(standing('downloading', { goal: goal('a') }), goal('a'), 5)).toBe('adopt')
    expect(answerTo(standing('probation', { goal: goal('a') }), goal('a'), 5)).toBe('adopt')
  })

  test('with the release that already serves is only answered, also while another is on its way', () => {
    expect(answerTo(standing('committed', { activeDigest: 'a' }), goal('a'), 5)).toBe('content')
    const inWork = { goal: goal('other'), activeDigest: 'a' }
    expect(answerTo(standing('self_testing', inWork), goal('a'), 5)).toBe('content')
    expect(answerTo(standing('activating', inWork), goal('a'), 5)).toBe('wait')
  })

  test('without this slot cancels what has not gone far, and leaves what serves alone', () => {
    expect(answerTo(standing('downloading', { goal: goal('a') }), undefined, 5)).toBe('cancel')
    expect(answerTo(standing('committed', { activeDigest: 'a' }), undefined, 5)).toBe('nothing')
    expect(answerTo(standing('probation', { goal: goal('a') }), undefined, 5)).toBe('nothing')
  })
})
