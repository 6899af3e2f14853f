import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Phase } from '@godwit/protocol/phase'
import { isAtRest, maySupersede } from './deployment.ts'

/** What a slot knows when a directive speaks to it. */
export type Standing = {
  phase: Phase
  goal?: SlotGoal
  directiveVersion: number
  /** Directive that the last ended deployment answered. */
  answered: number
  activeDigest?: string
}

/**
 * - `nothing`: heard before
 * - `content`: the slot already runs it; only the answer is new, and what was on its way is not wanted any more
 * - `adopt`: the deployment in progress is the right one, under a newer directive
 * - `start`, `supersede`: begin, or begin anew
 * - `wait`: too late to stop; look again at rest
 * - `cancel`: the slot was taken out of the directive while a deployment had not gone far
 */
export type Answer = 'nothing' | 'content' | 'adopt' | 'start' | 'supersede' | 'wait' | 'cancel'

/** Decides; never performs. Telling it the same directive twice gives `nothing` the second time. */
export function answerTo(standing: Standing, goal: SlotGoal | undefined, directiveVersion: number): Answer {
  const { phase } = standing
  if (directiveVersion <= standing.directiveVersion) return 'nothing'
  if (goal === undefined) return maySupersede(phase) ? 'cancel' : 'nothing'
  if (!isAtRest(phase)) {
    if (goal.releaseDigest === standing.goal?.releaseDigest) return 'adopt'
    if (!maySupersede(phase)) return 'wait'
  }
  if (goal.releaseDigest === standing.activeDigest) return 'content'
  return isAtRest(phase) ? 'start' : 'supersede'
}
