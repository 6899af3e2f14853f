import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Phase } from '@godwit/protocol/phase'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { Clock } from '../clock.ts'
import { because, type Log } from '../log.ts'
import { codeOfError, detailOf } from '../report.ts'
import { isAtRest, isConclusive } from './deployment.ts'
import { type Hindrance, isHindrance } from './hindrance.ts'
import type { Deployment } from './journal.ts'
import { noEvidence, withWindow } from './probation.ts'
import { attemptsMaxOf, hinderedMs, settle } from './settle.ts'
import { Sleeper } from './sleeper.ts'
import { Standing, type StandingDeps } from './standing.ts'
import { type Outcome, type StepDeps, steps } from './steps.ts'
import { watchProbation } from './watch-probation.ts'

export type DeployerDeps = StepDeps &
  StandingDeps & {
    clock: Clock
    log: Log
    /** Why a phase must not begin now: a user, a battery, an hour of the day. */
    hindrance: (phase: Phase, goal: SlotGoal | undefined) => Hindrance | undefined
  }

const heldUpMs = 5_000

/**
 * Lives one slot's deployments. Reads the journal, performs the step of the phase it finds, writes the move, and starts
 * over; so a restart is nothing special.
 */
export class Deployer {
  readonly #deps: DeployerDeps
  readonly #standing: Standing
  readonly #sleeper = new Sleeper()
  #stopped = false
  #step: AbortController | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(deps: DeployerDeps) {
    this.#deps = deps
    this.#standing = new Standing(deps)
  }

  /** To be called once per start of the process, before anything serves. */
  recover(): void {
    // Stored before the model runs again: three starts that end in a crash of the whole agent end its probation.
    this.#addEvidence((evidence) => ({ ...evidence, boots: evidence.boots + 1 }))
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Something has changed that a waiting step may want to know: a directive, a link, metadata, a window. */
  kick(): void {
    this.#sleeper.wake()
    const answer = this.#standing.answer()
    if (answer === 'supersede' || answer === 'cancel' || answer === 'content')
      this.#step?.abort(new Error(answer))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#step?.abort(new Error('stopping'))
    this.#sleeper.wake()
    await this.#running
  }

  /** A window is on the disk: news for a probation, and none for a step that waits for the world. */
  windowStored(): void {
    if (this.#standing.read().deployment.phase === 'probation') this.kick()
  }

  /** Called inside the transaction that stores the window. */
  observeWindow(record: WindowRecord): void {
    this.#addEvidence((evidence, goal) =>
      record.releaseDigest === goal?.releaseDigest ? withWindow(evidence, record) : evidence,
    )
  }

  observeCrash(): void {
    if (this.#addEvidence((evidence) => ({ ...evidence, crashes: evidence.crashes + 1 }))) this.kick()
  }

  /** What is active does not start any more. Falls back at rest; during a deployment its own rows decide. */
  activeUnusable(code: ResultCode, detail: string): boolean {
    const { deployment, active, lastKnownGood } = this.#standing.read()
    if (!active || !lastKnownGood || lastKnownGood.releaseDigest === active.releaseDigest) return false
    if (!isAtRest(deployment.phase)) return false
    // The last deployment may have been of another release, which is not to be blamed and has been answered for.
    const { goal, ...rest } = deployment
    const standing = goal?.releaseDigest === active.releaseDigest ? deployment : rest
    this.#standing.move(standing, 'failed', {
      code,
      detail: `the active release cannot be served: ${detail}`,
      bad: active.releaseDigest,
    })
    this.kick()
    return true
  }

  /** Of a release on probation, and of no other. */
  #addEvidence(add: (evidence: typeof noEvidence, goal: SlotGoal | undefined) => typeof noEvidence): boolean {
    const { deployment } = this.#standing.read()
    if (deployment.phase !== 'probation') return false
    const before = deployment.evidence ?? noEvidence
    const evidence = add(before, deployment.goal)
    if (evidence !== before) this.#standing.write({ ...deployment, evidence })
    return true
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#once()
      } catch (error) {
        // Most likely a disk that takes no writes. The model serves on; the deployment waits.
        this.#deps.log.error({ slot: this.#deps.slot, because: because(error) }, 'deployment held up')
        await this.#sleep(heldUpMs)
      }
    }
  }

  async #once(): Promise<void> {
    const standing = this.#standing
    standing.consider()
    const { deployment, lastKnownGood } = standing.read()
    if (isAtRest(deployment.phase)) return this.#sleep(undefined)
    // Back to what served well before: nobody waits for a quiet hour with that.
    const isGoingBack = lastKnownGood?.releaseDigest === deployment.goal?.releaseDigest
    const hindrance = isGoingBack ? undefined : this.#deps.hindrance(deployment.phase, deployment.goal)
    if (hindrance) return this.#hinder(deployment, hindrance)
    const attempt = deployment.attempt + 1
    const isSpent = attempt > attemptsMaxOf(deployment)
    if (!isSpent) standing.write({ ...unhindered(deployment), attempt })
    const outcome = isSpent ? givenUp(deployment) : await this.#perform()
    const waitMs = outcome && (await settle({ ...this.#deps, standing }, outcome))
    if (waitMs !== undefined) await this.#sleep(waitMs)
  }

  /** Said once: a device may wait for its window for days. */
  #hinder(deployment: Deployment, { code, detail }: Hindrance): Promise<void> {
    const { slot, log, onChange } = this.#deps
    if (deployment.code !== code || deployment.detail !== detail) {
      this.#standing.write({ ...deployment, code, detail })
      log.info({ slot, phase: deployment.phase, code, because: detail }, 'deferred')
      onChange()
    }
    return this.#sleep(hinderedMs)
  }

  async #perform(): Promise<Outcome | undefined> {
    const controller = new AbortController()
    this.#step = controller
    try {
      const outcome = await this.#act(controller.signal)
      // A step that did not notice that nobody wants its result any more.
      return controller.signal.aborted ? undefined : outcome
    } catch (error) {
      // Superseded or stopped: the loop looks at the journal again.
      return controller.signal.aborted ? undefined : this.#outcomeOf(error)
    } finally {
      this.#step = undefined
    }
  }

  #act(signal: AbortSignal): Promise<Outcome> | Outcome {
    const state = this.#standing.read()
    const { phase, goal } = state.deployment
    if (phase === 'probation') {
      const sleep = (ms: number) => this.#sleep(ms)
      return watchProbation({ ...this.#deps, standing: this.#standing, sleep }, signal)
    }
    const step = steps[phase]
    // Rolling back at rest needs no goal: a slot may have lost its database, and still has two releases.
    if (!step || (!goal && phase !== 'rolling_back'))
      return { signal: 'failed', code: 'internal', detail: `nothing to do in ${phase}` }
    return step(this.#deps, { ...state, goal: goal as SlotGoal }, signal)
  }

  /** What the runner failed at is the release's; everything else is the world's, and is tried again. */
  #outcomeOf(error: unknown): Outcome {
    const code = codeOfError(error)
    const detail = detailOf(error)
    const isJudgement = error instanceof Error && error.name === 'RunnerFailure' && isConclusive(code)
    if (isJudgement) return { signal: 'failed', code, detail }
    return { signal: 'wait', code, detail, counts: code !== 'link_lost' || this.#deps.isLinkUp() }
  }

  async #sleep(ms: number | undefined): Promise<void> {
    if (!this.#stopped) await this.#sleeper.sleep(ms)
  }
}

/**
 * Begun as often as allowed, and control ended in the last of them: a setback that was seen would have ended the
 * deployment itself. The candidate may be to blame for that, or the power.
 */
function givenUp({ phase, code, detail, attempt }: Deployment): Outcome {
  return {
    signal: 'failed',
    code: code ?? (phase === 'self_testing' ? 'selftest_crash' : 'internal'),
    detail: detail ?? `given up after ${attempt} attempts`,
    isInferred: true,
  }
}

/** What held it up before does not any more, and must not be taken for what went wrong later. */
function unhindered({ code, detail, ...rest }: Deployment): Deployment {
  if (code === undefined || isHindrance(code)) return rest
  return { ...rest, code, ...(detail !== undefined && { detail }) }
}
