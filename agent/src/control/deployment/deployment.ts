import type { Phase } from '@godwit/protocol/phase'
import type { ResultCode } from '@godwit/protocol/result-code'

/**
 * - `offered`: a directive names a release that this slot does not run
 * - `done`: the phase's action succeeded
 * - `failed`: it failed for good; the journal holds the code. At rest: what was active cannot be served any more
 * - `missing`: something that an earlier phase had put on the disk is not there, or not whole
 * - `superseded`: a newer directive wants another release
 * - `content`: a newer directive wants what the slot runs already
 */
export const signals = ['offered', 'done', 'failed', 'missing', 'superseded', 'content'] as const
export type Signal = (typeof signals)[number]

/**
 * Every legal move, in the order a deployment lives them (SPEC 6.2). A phase is stored before its action begins, and
 * every action may be repeated, so `restarted` mostly says "again". A signal missing from a row is a bug in the caller,
 * not an event to ignore: the rows from `activating` on have no `superseded` and no `content`, because half a swap must
 * be ended first.
 *
 * `activating` starts over as itself: its action writes the pointer file before the database, both idempotently, so
 * whichever half was done is done again. `rolling_back` can only succeed: it needs no network and no trust.
 */
export const moves: Record<Phase, Partial<Record<Signal, Phase>> & { restarted: Phase }> = {
  idle: { offered: 'assigned', failed: 'rolling_back', content: 'committed', restarted: 'idle' },
  assigned: {
    done: 'checking',
    failed: 'refused',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'assigned',
  },
  checking: {
    done: 'downloading',
    failed: 'refused',
    missing: 'assigned',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'checking',
  },
  downloading: {
    done: 'verified',
    failed: 'refused',
    missing: 'assigned',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'downloading',
  },
  verified: {
    done: 'staged',
    failed: 'refused',
    missing: 'downloading',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'verified',
  },
  staged: {
    done: 'self_testing',
    failed: 'refused',
    missing: 'verified',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'staged',
  },
  self_testing: {
    done: 'activating',
    failed: 'refused',
    missing: 'staged',
    superseded: 'assigned',
    content: 'committed',
    restarted: 'self_testing',
  },
  activating: { done: 'probation', failed: 'rolling_back', restarted: 'activating' },
  probation: { done: 'committed', failed: 'rolling_back', restarted: 'probation' },
  committed: { offered: 'assigned', failed: 'rolling_back', content: 'committed', restarted: 'committed' },
  rolling_back: { done: 'rolled_back', restarted: 'rolling_back' },
  rolled_back: {
    offered: 'assigned',
    failed: 'rolling_back',
    content: 'committed',
    restarted: 'rolled_back',
  },
  refused: { offered: 'assigned', failed: 'rolling_back', content: 'committed', restarted: 'refused' },
}

/** @throws when the table has no such move: the caller has lost track, and the process must not guess on */
export function next(phase: Phase, signal: Signal): Phase {
  const to = moves[phase][signal]
  if (to === undefined) throw new Error(`deployment: no move from ${phase} on ${signal}`)
  return to
}

/** Nothing is going on; a new offer starts a new deployment. */
export function isAtRest(phase: Phase): boolean {
  return moves[phase].offered !== undefined
}

/** From activating on a deployment ends before the next one begins. */
export function maySupersede(phase: Phase): boolean {
  return moves[phase].superseded !== undefined
}

/**
 * How often a phase's action is begun before the deployment ends with the code of its last setback. A control process
 * that dies in a phase counts too, because the count is stored before the action. Waiting for a link does not count: a
 * device may be away for weeks. Neither does a download that gets on.
 */
export const attemptsMax: Partial<Record<Phase, number>> = {
  assigned: 5,
  checking: 6,
  downloading: 12,
  verified: 5,
  staged: 5,
  self_testing: 3,
  activating: 5,
}

/** Things that were there, were lost, and are fetched or staged once more: after so many the disk is to blame. */
export const repairsMax = 5

/** Starts of the control process within one probation after which the release is taken for the cause (5.6). */
export const probationBootsMax = 3

/**
 * Whether a runner that failed says something of its release. One that ended by itself may have been ended for somebody
 * else's memory; that is one attempt (5.6), and says it only when it happens as often as may be tried.
 */
export function isConclusive(code: ResultCode): boolean {
  return code !== 'selftest_crash'
}

/**
 * Found by running the release on this hardware: trying it again would find the same. That control ended again and again
 * meanwhile (`isInferred`) ends the deployment, but it may have been the power, and a newer directive may try once more.
 */
export function quarantines(code: ResultCode, isInferred = false): boolean {
  if (isInferred) return false
  return code.startsWith('selftest_') || code.startsWith('probation_') || code === 'io_schema_mismatch'
}
