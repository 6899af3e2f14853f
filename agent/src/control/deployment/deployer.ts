import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Phase } from '@godwit/protocol/phase'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { Clock } from '../clock.ts'
import { because, type Log } from '../log.ts'
import { codeOfError, detailOf } from '../report.ts'
import { attemptsMax, isAtRest, next, quarantines, repairsMax, type Signal } from './deployment.ts'
import { type Hindrance, isHindrance } from './hindrance.ts'
import type { Deployment } from './journal.ts'
import { answerTo } from './offers.ts'
import { judge, noEvidence, withWindow } from './probation.ts'
import { type Outcome, type StepDeps, steps } from './steps.ts'

export type DeployerDeps = StepDeps & {
  clock: Clock
  log: Log
  /** The newest verified directive's word on this slot; undefined before the first directive. */
  desired: () => { goal: SlotGoal | undefined; directiveVersion: number } | undefined
  /** Why a phase must not begin now: a user, a battery, an hour of the day. */
  hindrance: (phase: Phase, goal: SlotGoal | undefined) => Hindrance | undefined
  /** The journal has changed in a way that the hub should hear of. */
  onChange: () => void
  /** Within the transaction that stores the end, so that neither a power cut nor a full disk can tell it never or twice. */
  recordEnd: (deployment: Deployment) => void
  /** Behind it. */
  onEnd: () => void
}

const waitMsMin = 500
const waitMsMax = 60_000
/** For what nobody tells us of when it changes. Each look costs the disk nothing. */
const hinderedMs = 30_000
const probationTickMs = 1_000
/** A probation that cannot be judged for want of readings gives way to a newer goal after this many of its durations. */
const probationPatience = 4
const probationPatienceMsMin = 15 * 60_000

/**
 * Lives one slot's deployments: the only writer of its phase. Reads the journal, performs the step of the phase it
 * finds, writes the move, and starts over; so a restart is nothing special.
 */
export class Deployer {
  readonly #deps: DeployerDeps
  #stopped = false
  #step: AbortController | undefined
  #wake: (() => void) | undefined
  #woken = false
  #running: Promise<void> = Promise.resolve()

  constructor(deps: DeployerDeps) {
    this.#deps = deps
  }

  /** To be called once per start of the process, before anything serves. */
  recover(): void {
    const { deployment } = this.#read()
    if (deployment.phase !== 'probation') return
    // Stored before the model runs again: three starts that end in a crash of the whole agent end its probation.
    const evidence = deployment.evidence ?? noEvidence
    this.#write({ ...deployment, evidence: { ...evidence, boots: evidence.boots + 1 } })
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Something has changed that a waiting step may want to know: a directive, a link, metadata, a window. */
  kick(): void {
    this.#woken = true
    this.#wake?.()
    const answer = this.#answer()
    if (answer === 'supersede' || answer === 'cancel') this.#step?.abort(new Error(answer))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#step?.abort(new Error('stopping'))
    this.#wake?.()
    await this.#running
  }

  /** A window is on the disk: news for a probation, and none for a step that waits for the world. */
  windowStored(): void {
    if (this.#read().deployment.phase === 'probation') this.kick()
  }

  /** Called inside the transaction that stores the window. */
  observeWindow(record: WindowRecord): void {
    const { deployment } = this.#read()
    if (deployment.phase !== 'probation' || record.releaseDigest !== deployment.goal?.releaseDigest) return
    this.#write({ ...deployment, evidence: withWindow(deployment.evidence ?? noEvidence, record) })
  }

  observeCrash(): void {
    const { deployment } = this.#read()
    if (deployment.phase !== 'probation') return
    const evidence = deployment.evidence ?? noEvidence
    this.#write({ ...deployment, evidence: { ...evidence, crashes: evidence.crashes + 1 } })
    this.kick()
  }

  /** What is active does not start any more. Falls back at rest; during a deployment its own rows decide. */
  activeUnusable(code: ResultCode, detail: string): boolean {
    const { deployment, active, lastKnownGood } = this.#read()
    if (!active || !lastKnownGood || lastKnownGood.releaseDigest === active.releaseDigest) return false
    if (!isAtRest(deployment.phase)) return false
    this.#move(deployment, 'failed', {
      code,
      detail: `the active release cannot be served: ${detail}`,
      bad: active.releaseDigest,
    })
    this.kick()
    return true
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#once()
      } catch (error) {
        // Most likely a disk that takes no writes. The model serves on; the deployment waits.
        this.#deps.log.error({ slot: this.#deps.slot, because: because(error) }, 'deployment held up')
        await this.#sleep(5_000)
      }
    }
  }

  async #once(): Promise<void> {
    this.#consider()
    const { deployment, lastKnownGood } = this.#read()
    if (isAtRest(deployment.phase)) return this.#sleep(undefined)
    // Back to what served well before: nobody waits for a quiet hour with that.
    const isGoingBack = lastKnownGood?.releaseDigest === deployment.goal?.releaseDigest
    const hindrance = isGoingBack ? undefined : this.#deps.hindrance(deployment.phase, deployment.goal)
    if (hindrance) return this.#hinder(deployment, hindrance)
    const attempt = deployment.attempt + 1
    if (attempt > attemptsMaxOf(deployment)) {
      const crashed = deployment.phase === 'self_testing' && deployment.code === undefined
      const code = crashed ? 'selftest_crash' : (deployment.code ?? 'internal')
      return this.#apply({
        signal: 'failed',
        code,
        detail: deployment.detail ?? `given up after ${deployment.attempt} attempts`,
      })
    }
    this.#write({ ...unhindered(deployment), attempt })
    const outcome = await this.#perform()
    if (outcome) await this.#apply(outcome)
  }

  /** Said once: a device may wait for its window for days. */
  #hinder(deployment: Deployment, { code, detail }: Hindrance): Promise<void> {
    if (deployment.code !== code || deployment.detail !== detail) {
      this.#write({ ...deployment, code, detail })
      this.#deps.log.info(
        { slot: this.#deps.slot, phase: deployment.phase, code, because: detail },
        'deferred',
      )
      this.#deps.onChange()
    }
    return this.#sleep(hinderedMs)
  }

  async #perform(): Promise<Outcome | undefined> {
    const controller = new AbortController()
    this.#step = controller
    try {
      const state = this.#read()
      const { phase, goal } = state.deployment
      if (phase === 'probation') return await this.#probation(controller.signal)
      const step = steps[phase]
      if (!step || (!goal && phase !== 'rolling_back'))
        return { signal: 'failed', code: 'internal', detail: `nothing to do in ${phase}` }
      // Rolling back at rest needs no goal: a slot may have lost its database, and still has two releases.
      const outcome = await step(this.#deps, { ...state, goal: goal as SlotGoal }, controller.signal)
      // A step that did not notice that nobody wants its result any more.
      return controller.signal.aborted ? undefined : outcome
    } catch (error) {
      // Superseded or stopped: the loop looks at the journal again.
      if (controller.signal.aborted) return undefined
      const code = codeOfError(error)
      const detail = detailOf(error)
      const isJudgement = error instanceof Error && error.name === 'RunnerFailure'
      return isJudgement
        ? { signal: 'failed', code, detail }
        : { signal: 'wait', code, detail, counts: code !== 'link_lost' || this.#deps.isLinkUp() }
    } finally {
      this.#step = undefined
    }
  }

  async #apply(outcome: Outcome): Promise<void> {
    const { deployment } = this.#read()
    switch (outcome.signal) {
      case 'wait': {
        const attempt = outcome.progressed ? 1 : deployment.attempt - (outcome.counts ? 0 : 1)
        // Nobody is helped by another pause before giving up.
        if (outcome.counts && attempt >= attemptsMaxOf(deployment))
          return this.#fail(deployment, outcome.code, outcome.detail)
        // What a release is rolled back for is the deployment's answer; what holds the rolling back up is not.
        const setback =
          deployment.phase === 'rolling_back' ? {} : { code: outcome.code, detail: outcome.detail }
        this.#write({ ...deployment, attempt, ...setback })
        this.#deps.log.warn(
          {
            slot: this.#deps.slot,
            phase: deployment.phase,
            attempt,
            code: outcome.code,
            because: outcome.detail,
          },
          'step waits',
        )
        if (outcome.counts) this.#deps.onChange()
        // What uses up no attempt waits for the world, which kicks; looking more often would only wear the flash.
        return this.#sleep(
          outcome.counts ? Math.min(waitMsMax, waitMsMin * 2 ** Math.max(0, attempt - 1)) : hinderedMs,
        )
      }
      case 'failed':
        if (deployment.phase === 'rolling_back') throw new Error(outcome.detail)
        return this.#fail(deployment, outcome.code, outcome.detail)
      case 'missing': {
        const repairs = deployment.repairs + 1
        if (repairs > repairsMax)
          return this.#fail(
            deployment,
            'integrity',
            `files were lost or altered on the disk ${repairs} times`,
          )
        this.#move(deployment, 'missing', { repairs })
        return
      }
      case 'done':
        return this.#succeed(deployment, outcome.patch)
    }
  }

  async #succeed(deployment: Deployment, patch: Partial<Deployment> = {}): Promise<void> {
    if (deployment.phase === 'rolling_back') {
      return this.#end(deployment, 'done', { answered: deployment.directiveVersion })
    }
    const { code: _, detail: __, ...clean } = deployment
    if (deployment.phase !== 'probation') {
      this.#move(clean, 'done', patch)
      return
    }
    const { candidate: _c, evidence: _e, bad: _b, ...kept } = clean
    this.#end(kept, 'done', { code: 'ok', answered: deployment.directiveVersion })
  }

  async #fail(deployment: Deployment, code: ResultCode, detail: string): Promise<void> {
    const digest = deployment.goal?.releaseDigest
    this.#deps.log.error(
      { slot: this.#deps.slot, phase: deployment.phase, code, because: detail },
      'deployment failed',
    )
    if (digest && quarantines(code)) this.#deps.journal.quarantine(digest, code, this.#deps.time.nowMs())
    const wasSwapping = next(deployment.phase, 'failed') === 'rolling_back'
    if (wasSwapping) {
      this.#move(deployment, 'failed', { code, detail, ...(digest && { bad: digest }) })
      return
    }
    this.#end(deployment, 'failed', { code, detail, answered: deployment.directiveVersion })
    await this.#deps.serving.discardCandidate()
  }

  /** The deployment is over, and what the hub is to hear of it is on the disk in the same moment. */
  #end(deployment: Deployment, signal: Signal, patch: Partial<Deployment>): void {
    this.#deps.database.transaction(() => {
      this.#move(deployment, signal, patch)
      this.#deps.recordEnd(this.#read().deployment)
    })
    this.#deps.onEnd()
  }

  /** Waits for windows, crashes and time to decide. Only time in service counts. */
  async #probation(signal: AbortSignal): Promise<Outcome> {
    let lastMs = this.#deps.clock.monotonicMs()
    for (;;) {
      signal.throwIfAborted()
      if (this.#stopped) throw new Error('stopping')
      const nowMs = this.#deps.clock.monotonicMs()
      const { deployment } = this.#read()
      const before = deployment.evidence ?? noEvidence
      const served = this.#deps.serving.isServing ? nowMs - lastMs : 0
      lastMs = nowMs
      const evidence = { ...before, servedMs: before.servedMs + served }
      if (served > 0) this.#write({ ...deployment, evidence })
      const policy = deployment.goal!.probation
      const judgement = judge(evidence, policy)
      if (judgement.verdict === 'passed') return { signal: 'done' }
      if (judgement.verdict === 'failed')
        return { signal: 'failed', code: judgement.code, detail: judgement.detail }
      const patienceMs = Math.max(probationPatienceMsMin, policy.durationMs * probationPatience)
      if (this.#answer() === 'wait' && evidence.servedMs > patienceMs)
        return {
          signal: 'failed',
          code: 'superseded',
          detail: 'a newer goal waited while probation could not be judged',
        }
      await this.#sleep(probationTickMs)
    }
  }

  #answer() {
    const { deployment, active } = this.#read()
    const desired = this.#deps.desired()
    if (!desired) return 'nothing' as const
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
  #consider(): void {
    const answer = this.#answer()
    const desired = this.#deps.desired()
    if (!desired || answer === 'nothing' || answer === 'wait') return
    const { deployment } = this.#read()
    const { goal, directiveVersion } = desired
    if (answer === 'cancel') {
      this.#end(deployment, 'failed', {
        code: 'cancelled',
        detail: 'the slot was taken out of the directive',
        directiveVersion,
        answered: directiveVersion,
      })
      void this.#deps.serving.discardCandidate().catch(() => {})
      return
    }
    if (answer === 'adopt') {
      this.#write({ ...deployment, ...(goal && { goal }), directiveVersion })
    } else if (answer === 'content') {
      const { detail: _, bad: __, ...kept } = deployment
      this.#write({
        ...kept,
        phase: 'committed',
        ...(goal && { goal }),
        directiveVersion,
        answered: directiveVersion,
        code: 'ok',
      })
    } else {
      if (goal!.force) this.#deps.journal.release(goal!.releaseDigest)
      const fresh = {
        phase: deployment.phase,
        directiveVersion,
        attempt: 0,
        repairs: 0,
        answered: deployment.answered,
        goal: goal!,
      }
      this.#move(fresh, answer === 'start' ? 'offered' : 'superseded', {})
      return
    }
    this.#deps.onChange()
  }

  #move(deployment: Deployment, signal: Signal, patch: Partial<Deployment>): void {
    const phase = next(deployment.phase, signal)
    this.#write({ ...deployment, attempt: 0, ...patch, phase })
    this.#deps.log.info(
      { slot: this.#deps.slot, from: deployment.phase, to: phase, ...(patch.code && { code: patch.code }) },
      'deployment',
    )
    this.#deps.onChange()
  }

  #read() {
    return this.#deps.journal.read(this.#deps.slot)
  }

  #write(deployment: Deployment): void {
    this.#deps.journal.writeDeployment(this.#deps.slot, deployment)
  }

  /** Until woken, or for so long. */
  async #sleep(ms: number | undefined): Promise<void> {
    if (this.#stopped) return
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#wake = undefined
    this.#woken = false
  }
}

/** What held it up before does not any more, and must not be taken for what went wrong later. */
function unhindered({ code, detail, ...rest }: Deployment): Deployment {
  if (code === undefined || isHindrance(code)) return rest
  return { ...rest, code, ...(detail !== undefined && { detail }) }
}

function attemptsMaxOf({ phase }: Deployment): number {
  return attemptsMax[phase] ?? Number.POSITIVE_INFINITY
}
