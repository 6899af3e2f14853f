import type { SlotGoal } from '@godwit/protocol/messages/directive'
import { because, type Log } from '../log.ts'
import type { Serving } from '../serving.ts'
import type { Database } from '../state/database.ts'
import { next, type Signal } from './deployment.ts'
import type { Deployment, Journal, SlotState } from './journal.ts'
import { type Answer, answerTo } from './offers.ts'

export type StandingDeps = {
  slot: string
  database: Database
  journal: Journal
  serving: Pick<Serving, 'discardCandidate'>
  log: Log
  /** The newest verified directive's word on this slot; undefined before the first directive. */
  desired: () => { goal: SlotGoal | undefined; directiveVersion: number } | undefined
  /** The journal has changed in a way that the hub should hear of. */
  onChange: () => void
  /** Within the transaction that stores the end, so that neither a power cut nor a full disk can tell it never or twice. */
  recordEnd: (deployment: Deployment) => void
  /** Behind it. */
  onEnd: () => void
}

/** Where one slot's deployment stands, on the disk; every change of its phase goes through here and through the table. */
export class Standing {
  readonly #deps: StandingDeps

  constructor(deps: StandingDeps) {
    this.#deps = deps
  }

  read(): SlotState {
    return this.#deps.journal.read(this.#deps.slot)
  }

  write(deployment: Deployment): void {
    this.#deps.journal.writeDeployment(this.#deps.slot, deployment)
  }

  move(deployment: Deployment, signal: Signal, patch: Partial<Deployment> = {}): void {
    const phase = next(deployment.phase, signal)
    this.write({ ...deployment, attempt: 0, ...patch, phase })
    this.#deps.log.info(
      { slot: this.#deps.slot, from: deployment.phase, to: phase, ...(patch.code && { code: patch.code }) },
      'deployment',
    )
    this.#deps.onChange()
  }

  /** The deployment is over, and what the hub is to hear of it is on the disk in the same moment. */
  end(deployment: Deployment, signal: Signal, patch: Partial<Deployment>): void {
    this.#deps.database.transaction(() => {
      this.move(deployment, signal, patch)
      this.#deps.recordEnd(this.read().deployment)
    })
    this.#deps.onEnd()
  }

  /** What the newest directive means for the deployment as it stands. */
  answer(): Answer {
    const { deployment, active } = this.read()
    const desired = this.#deps.desired()
    if (!desired) return 'nothing'
    const { phase, goal, directiveVersion, answered } = deployment
    const standing = {
      phase,
      directiveVersion,
      answered,
      ...(goal && { goal }),
      ...(active && { activeDigest: active.releaseDigest }),
    }
    return answerTo(standing, desired.goal, desired.directiveVersion)
  }

  /** Takes what the newest directive says into the journal, as far as the phase allows. */
  consider(): void {
    const answer = this.answer()
    const desired = this.#deps.desired()
    if (!desired || answer === 'nothing' || answer === 'wait') return
    const { deployment } = this.read()
    const { directiveVersion, goal = deployment.goal } = desired
    if (answer === 'cancel') this.#cancel(deployment, directiveVersion)
    else if (goal && answer === 'adopt') {
      this.write({ ...deployment, goal, directiveVersion })
      this.#deps.onChange()
    } else if (goal && answer === 'content') this.#content(deployment, goal, directiveVersion)
    else if (goal) {
      if (goal.force) this.#deps.journal.release(goal.releaseDigest)
      const { phase, answered } = deployment
      const fresh = { phase, directiveVersion, attempt: 0, repairs: 0, answered, goal }
      this.move(fresh, answer === 'start' ? 'offered' : 'superseded')
    }
  }

  #cancel(deployment: Deployment, directiveVersion: number): void {
    this.end(deployment, 'failed', {
      code: 'cancelled',
      detail: 'the slot was taken out of the directive',
      directiveVersion,
      answered: directiveVersion,
    })
    this.#discard()
  }

  #content(deployment: Deployment, goal: SlotGoal, directiveVersion: number): void {
    const { detail: _, bad: __, candidate: ___, ...kept } = deployment
    const answered = { directiveVersion, answered: directiveVersion }
    this.end({ ...kept, goal, repairs: 0 }, 'content', { ...answered, code: 'ok' })
    this.#discard()
  }

  #discard(): void {
    this.#deps.serving
      .discardCandidate()
      .catch((error) =>
        this.#deps.log.warn({ slot: this.#deps.slot, because: because(error) }, 'a candidate is left over'),
      )
  }
}
