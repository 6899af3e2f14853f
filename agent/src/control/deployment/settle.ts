import type { ResultCode } from '@godwit/protocol/result-code'
import type { TrustedTime } from '../clock.ts'
import { attemptsMax, next, quarantines, repairsMax } from './deployment.ts'
import type { Deployment } from './journal.ts'
import type { Standing, StandingDeps } from './standing.ts'
import type { Outcome } from './steps.ts'

const waitMsMin = 500
const waitMsMax = 60_000
/** For what nobody tells us of when it changes. Each look costs the disk nothing. */
export const hinderedMs = 30_000

type Failure = { code: ResultCode; detail: string; isInferred?: true }

type SettleDeps = Pick<StandingDeps, 'slot' | 'journal' | 'log' | 'serving' | 'onChange'> & {
  time: TrustedTime
  standing: Standing
}

/** Puts into the journal what a step came to. Answers how long to wait before the next one; undefined: not at all. */
export async function settle(deps: SettleDeps, outcome: Outcome): Promise<number | undefined> {
  const { standing } = deps
  const { deployment } = standing.read()
  switch (outcome.signal) {
    case 'wait':
      return wait(deps, deployment, outcome)
    case 'failed':
      if (deployment.phase === 'rolling_back') throw new Error(outcome.detail)
      await fail(deps, deployment, outcome)
      return undefined
    case 'missing': {
      const repairs = deployment.repairs + 1
      if (repairs <= repairsMax) standing.move(deployment, 'missing', { repairs })
      else {
        const detail = `files were lost or altered on the disk ${repairs} times`
        await fail(deps, deployment, { code: 'integrity', detail })
      }
      return undefined
    }
    case 'done':
      succeed(standing, deployment, outcome.patch)
      return undefined
  }
}

/** So often a phase may be begun; no limit where it waits for something that comes in its own time. */
export function attemptsMaxOf({ phase }: Deployment): number {
  return attemptsMax[phase] ?? Number.POSITIVE_INFINITY
}

async function wait(
  deps: SettleDeps,
  deployment: Deployment,
  { code, detail, counts, progressed }: Extract<Outcome, { signal: 'wait' }>,
): Promise<number | undefined> {
  const attempt = progressed ? 1 : deployment.attempt - (counts ? 0 : 1)
  // Nobody is helped by another pause before giving up.
  if (counts && attempt >= attemptsMaxOf(deployment)) {
    await fail(deps, deployment, { code, detail })
    return undefined
  }
  const { slot, standing, log, onChange } = deps
  const { phase } = deployment
  // What a release is rolled back for is the deployment's answer; what holds the rolling back up is not.
  const setback = phase === 'rolling_back' ? {} : { code, detail }
  standing.write({ ...deployment, attempt, ...setback })
  log.warn({ slot, phase, attempt, code, because: detail }, 'step waits')
  if (!counts) return hinderedMs
  // What uses up no attempt waits for the world, which kicks; looking more often would only wear the flash.
  onChange()
  return Math.min(waitMsMax, waitMsMin * 2 ** Math.max(0, attempt - 1))
}

function succeed(standing: Standing, deployment: Deployment, patch: Partial<Deployment> = {}): void {
  const answered = deployment.directiveVersion
  const { code: _, detail: __, ...clean } = deployment
  if (deployment.phase === 'rolling_back') standing.end(deployment, 'done', { answered })
  else if (deployment.phase !== 'probation') standing.move(clean, 'done', patch)
  else {
    const { candidate: _c, evidence: _e, bad: _b, ...kept } = clean
    standing.end(kept, 'done', { code: 'ok', answered })
  }
}

async function fail(
  { slot, standing, journal, log, serving, time }: SettleDeps,
  deployment: Deployment,
  { code, detail, isInferred }: Failure,
): Promise<void> {
  const { phase, goal, directiveVersion } = deployment
  const digest = goal?.releaseDigest
  log.error({ slot, phase, code, because: detail }, 'deployment failed')
  if (digest && quarantines(code, isInferred)) journal.quarantine(digest, code, time.nowMs())
  if (next(phase, 'failed') === 'rolling_back') {
    standing.move(deployment, 'failed', { code, detail, ...(digest && { bad: digest }) })
  } else {
    standing.end(deployment, 'failed', { code, detail, answered: directiveVersion })
    await serving.discardCandidate()
  }
}
