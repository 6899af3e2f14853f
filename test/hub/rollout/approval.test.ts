import { createHash } from 'node:crypto'
import {
  type ApprovalDeed,
  type Person,
  questionOf,
  sha256Of,
  subjectText,
} from '@godwit/hub/rollout/approval'
import type { PlanRequest } from '@godwit/hub/rollout/plan'
import { allowedActions, type Rollout } from '@godwit/hub/rollout/rollout'
import { verdictSentence } from '@godwit/hub/rollout/sentence'
import { describe, expect, test } from 'vitest'
import { Bench, committed, evidenceOf, quick, rolloutOf, twoWaves } from './fixture.ts'

const [ana, bob, cleo, dora] = ['ana', 'bob', 'cleo', 'dora'].map((name) => ({ id: `u-${name}`, name })) as [
  Person,
  Person,
  Person,
  Person,
]
const two: PlanRequest = { ...twoWaves, approvals: { count: 2 } }

/** Made by ana, for three devices; bob, cleo and dora are approvers, and so is ana. */
class Room extends Bench {
  constructor(plan: PlanRequest = two, change: Partial<Rollout> = {}) {
    super(rolloutOf(plan, [1, 2], { phase: 'awaiting_approval', creatorId: ana.id, ...change }))
    this.approvers = { minimum: 0, people: [ana, bob, cleo, dora] }
  }

  get wave(): string | null {
    return questionOf(this.rollout, this.approvers)?.wave ?? null
  }

  hears(person: Person, type: ApprovalDeed = 'approve', sha256 = sha256Of(this.rollout, this.wave)): this {
    const { now: at, approvers } = this
    return this.send({ type, at, who: person.name, person, sha256, reason: 'because', approvers })
  }

  without(...gone: Person[]): this {
    this.approvers = { ...this.approvers, people: this.approvers.people.filter((one) => !gone.includes(one)) }
    return this
  }

  get records(): string[] {
    return this.actions.flatMap((action) => (action.do === 'record' ? [`${action.who}: ${action.kind}`] : []))
  }
}

describe('a rollout that needs two approvals', () => {
  test('directs nobody, however long it waits, until two others have said yes', () => {
    const room = new Room().tick(86_400_000, 40)
    room.hears(bob).tick(86_400_000, 40)
    expect([room.rollout.phase, room.directed()]).toEqual(['awaiting_approval', []])
    room.hears(cleo).tick(1, 3)
    expect([room.rollout.phase, room.directed()]).toEqual(['running', ['d0']])
    expect(room.rollout.reason).toMatchObject({ who: 'hub', text: 'approved by bob and cleo' })
  })

  test('counts the same person once', () => {
    const room = new Room().hears(bob).hears(bob).tick(1, 3)
    expect(room.rollout.phase).toBe('awaiting_approval')
    expect(room.records).toEqual(['bob: approved'])
  })

  test('never counts its creator, approver or not', () => {
    const room = new Room().hears(ana).hears(bob).tick(1, 3)
    expect(room.rollout.phase).toBe('awaiting_approval')
    expect(room.rollout.approvals.map(({ person }) => person.name)).toEqual(['bob'])
  })

  test('does not count somebody without the role, nor somebody who looked at another plan', () => {
    const room = new Room().without(bob).hears(bob).hears(cleo, 'approve', 'f'.repeat(64))
    expect(room.rollout.approvals).toEqual([])
  })

  test('says how many are there, from whom, and who could give the rest', () => {
    const room = new Room().hears(bob)
    const says = () => verdictSentence(room.rollout, room.approvers)
    expect(says()).toBe('Waits for approval: 1 of 2 given (bob); cleo or dora could give what is missing.')
    room.without(cleo, dora)
    expect(says()).toBe(
      'Waits for approval: 1 of 2 given (bob); nobody could give more: an administrator has to make somebody an approver.',
    )
  })

  test('can be aborted meanwhile, and not be started past its approvers', () => {
    expect(allowedActions(new Room().rollout)).toEqual(['abort'])
    expect(new Room().order('start').rollout.phase).toBe('awaiting_approval')
    expect(new Room(two, { phase: 'draft' }).order('start').rollout.phase).toBe('awaiting_approval')
    expect(new Room(twoWaves, { phase: 'draft' }).order('start').rollout.phase).toBe('running')
  })

  test('ends when one approver rejects it, with the reason, and nobody was told', () => {
    const room = new Room().hears(bob).hears(cleo, 'reject').tick(1, 3)
    expect(room.rollout).toMatchObject({ phase: 'aborted', toRestore: [] })
    expect(room.rollout.reason).toMatchObject({ who: 'cleo', text: 'rejected: because' })
    expect(room.records).toEqual(['bob: approved', 'cleo: rejected', 'cleo: aborted'])
    expect(room.hears(dora).tick(1, 3).rollout.phase).toBe('aborted')
  })

  test('an approval taken back before the start counts no longer, and may be given again', () => {
    const room = new Room().hears(bob).hears(bob, 'withdraw').hears(cleo).tick(1, 3)
    expect(room.rollout.phase).toBe('awaiting_approval')
    expect(room.hears(bob).tick(1, 2).rollout.phase).toBe('running')
    expect(room.records.slice(0, 4)).toEqual([
      ...['bob: approved', 'bob: withdrawn', 'cleo: approved', 'bob: approved'],
    ])
    room.hears(bob, 'withdraw')
    expect(room.rollout.approvals).toHaveLength(2)
  })

  test('somebody who has not approved has nothing to take back', () => {
    expect(new Room().hears(bob, 'withdraw').records).toEqual([])
  })
})

describe('what is approved', () => {
  test('is the release, the slot, the plan and which devices get it when: another of any of them is another hash', () => {
    const { rollout } = new Room()
    const swapped = new Map(rollout.deployments)
    swapped.set('d0', { ...swapped.get('d0')!, wave: 1 }).set('d1', { ...swapped.get('d1')!, wave: 0 })
    const others: Rollout[] = [
      { ...rollout, id: 'r2' },
      { ...rollout, slot: 'other' },
      { ...rollout, goal: { ...rollout.goal, releaseDigest: 'e'.repeat(64) } },
      { ...rollout, plan: { ...rollout.plan, maxInFlight: 49 } },
      { ...rollout, deployments: swapped },
    ]
    const hashes = [rollout, ...others].map((one) => sha256Of(one, null))
    hashes.push(sha256Of(rollout, 'canary'), sha256Of(rollout, 'rest'))
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  test('is not how far the rollout has got', () => {
    const room = new Room()
    const before = sha256Of(room.rollout, null)
    room.hears(bob).hears(cleo).tick(1, 3).answer('d0', committed)
    const shuffled = new Map([...room.rollout.deployments].reverse())
    expect(sha256Of({ ...room.rollout, deployments: shuffled }, null)).toBe(before)
  })

  test('is spelled so that anybody can take its hash again: sorted, no white space, fractions as they are', () => {
    const { rollout } = new Room()
    const text = subjectText(rollout, 'rest')
    expect(createHash('sha256').update(text).digest('hex')).toBe(sha256Of(rollout, 'rest'))
    expect(text).toMatch(/^{"goal":{"model":"gauge",/)
    expect(text).toContain('"gates":[{"max":0.02,"metric":"error_rate"}]')
    expect(text).toContain(
      '"wave":"rest","waves":[{"devices":["d0"],"name":"canary"},{"devices":["d1","d2"],"name":"rest"}]}',
    )
  })

  test('a plan that is changed voids the approvals of the old one, even between approval and start', () => {
    const later = { ...two, startAt: 100_000 }
    const room = new Room(later).hears(bob).hears(cleo).tick()
    expect(room.rollout.phase).toBe('scheduled')
    const { plan } = room.rollout
    room.rollout = { ...room.rollout, plan: { ...plan, onFailure: 'rollback' } }
    expect(room.tick(100_000, 3).rollout.phase).toBe('awaiting_approval')
    expect(room.directed()).toEqual([])
    expect(room.hears(bob).hears(dora).tick(1, 3).rollout.phase).toBe('running')
  })
})

describe('approval and schedule', () => {
  const later = { ...two, startAt: 100_000 }

  test('approval comes first, then the schedule', () => {
    const room = new Room(later).hears(bob).hears(cleo).tick(1, 3)
    expect(room.rollout.phase).toBe('scheduled')
    expect(room.tick(100_000).rollout.phase).toBe('running')
  })

  test('a rollout approved after its time starts at once', () => {
    const room = new Room(later).tick(200_000)
    expect(room.hears(bob).hears(cleo).tick().rollout.phase).toBe('running')
  })

  test('an approver who has lost the role or the account by then counts no longer', () => {
    const room = new Room(later).hears(bob).hears(cleo).tick(1, 3).without(cleo).tick()
    expect(room.rollout).toMatchObject({ phase: 'awaiting_approval', reason: { who: 'hub' } })
    expect(room.tick(200_000, 5).directed()).toEqual([])
    expect(room.hears(dora).tick().rollout.phase).toBe('running')
  })

  test('whoever has approved may take it back until the start, and whoever has not may still reject', () => {
    const room = new Room(later).hears(bob).hears(cleo).tick(1, 3)
    expect(room.hears(bob, 'withdraw').tick().rollout.phase).toBe('awaiting_approval')
    expect(room.hears(bob).tick().hears(dora, 'reject').rollout.phase).toBe('aborted')
  })

  test('an operator may start it before its time, but not before its approvals', () => {
    const room = new Room(later).hears(bob).hears(cleo).tick()
    expect(room.without(bob).order('start').rollout.phase).toBe('awaiting_approval')
    const other = new Room(later).hears(bob).hears(cleo).tick()
    expect(other.order('start').rollout.phase).toBe('running')
  })

  test('what has started goes on when an approver leaves', () => {
    const room = new Room().hears(bob).hears(cleo).tick(1, 3).without(bob, cleo).tick(1, 3)
    expect(room.rollout.phase).toBe('running')
  })
})

describe('the minimum of the hub', () => {
  test('counts where the plan asks for fewer, and the plan where it asks for more', () => {
    const one = new Room({ ...twoWaves, approvals: { count: 1 } })
    one.approvers = { ...one.approvers, minimum: 2 }
    expect(one.hears(bob).tick().rollout.phase).toBe('awaiting_approval')
    expect(one.hears(cleo).tick().rollout.phase).toBe('running')
    const more = new Room()
    more.approvers = { ...more.approvers, minimum: 1 }
    expect(more.hears(bob).tick().rollout.phase).toBe('awaiting_approval')
  })

  test('holds for a rollout that was scheduled before it was raised', () => {
    const room = new Room({ ...twoWaves, startAt: 100_000 }, { phase: 'scheduled' })
    room.approvers = { ...room.approvers, minimum: 1 }
    expect(room.tick(200_000).rollout.phase).toBe('awaiting_approval')
    expect(room.hears(bob).tick().rollout.phase).toBe('running')
  })
})

describe('a wave that needs an approval', () => {
  const plan: PlanRequest = {
    waves: [
      { name: 'canary', size: { count: 1 }, ...quick },
      { name: 'rest', size: { rest: true }, ...quick, approvals: { count: 1 } },
    ],
  }
  /** The canary has passed. */
  function canaryPassed(): Room {
    const room = new Room(plan, { phase: 'running' })
    room.tick(1, 2).answer('d0', committed)
    room.evidence = evidenceOf(['d0'])
    return room.tick(1).tick(1_000).tick(1, 4)
  }

  test('does not open without it, though the one before it has passed', () => {
    const room = canaryPassed().tick(86_400_000, 10)
    expect([room.waves, room.directed()]).toEqual(['passed awaiting_approval', ['d0']])
    expect(verdictSentence(room.rollout, room.approvers)).toBe(
      'Waits for approval at wave 2 of 2 (rest): 0 of 1 given; bob, cleo or dora could give what is missing.',
    )
    room.hears(bob).tick(1, 3)
    expect([room.waves, room.directed()]).toEqual(['passed open', ['d0', 'd1', 'd2']])
  })

  test('takes no approval of the whole rollout for its own, nor one given before it waits', () => {
    const room = new Room(plan, { phase: 'running' })
    room.hears(bob, 'approve', sha256Of(room.rollout, 'rest'))
    expect(room.rollout.approvals).toEqual([])
    const waiting = canaryPassed()
    waiting.hears(bob, 'approve', sha256Of(waiting.rollout, null))
    expect(waiting.tick(1, 3).waves).toBe('passed awaiting_approval')
  })

  test('rejected: the rollout ends, and who has the release keeps it', () => {
    const room = canaryPassed().hears(cleo, 'reject')
    expect(room.rollout).toMatchObject({ phase: 'aborted', toRestore: [] })
    expect(['d0', 'd1', 'd2'].map((id) => room.state(id))).toEqual(['succeeded', 'skipped', 'skipped'])
  })

  test('can be approved while the rollout is paused, and opens when it goes on', () => {
    const room = canaryPassed().order('pause').hears(bob).tick(1, 3)
    expect(room.waves).toBe('passed awaiting_approval')
    expect(room.order('resume').tick(1, 2).waves).toBe('passed open')
  })
})
