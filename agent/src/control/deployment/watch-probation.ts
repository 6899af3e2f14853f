import type { DurationMs } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import type { Database } from '../state/database.ts'
import { judge, noEvidence } from './probation.ts'
import type { Standing } from './standing.ts'
import type { Outcome } from './steps.ts'

const tickMs = 1_000
/** What a power cut takes from the time served at most: that much longer the probation takes. Flash wears by writes. */
const storeMs = 60_000
/** A probation that cannot be judged for want of readings gives way to a newer goal after this many of its durations. */
const patience = 4
const patienceMsMin = 15 * 60_000

type WatchDeps = {
  standing: Standing
  database: Pick<Database, 'lazily'>
  clock: Clock
  serving: { readonly isServing: boolean }
  sleep: (ms: DurationMs) => Promise<void>
}

/**
 * Waits for windows, crashes and time to decide. Only time in service counts. Windows and crashes are stored as they
 * come, by whoever sees them; the time only now and then.
 */
export async function watchProbation(
  { standing, database, clock, serving, sleep }: WatchDeps,
  signal: AbortSignal,
): Promise<Outcome> {
  let lastMs = clock.monotonicMs()
  let unstoredMs = 0
  for (;;) {
    signal.throwIfAborted()
    const nowMs = clock.monotonicMs()
    if (serving.isServing) unstoredMs += nowMs - lastMs
    lastMs = nowMs
    const { deployment } = standing.read()
    const before = deployment.evidence ?? noEvidence
    const evidence = { ...before, servedMs: before.servedMs + unstoredMs }
    const policy = deployment.goal!.probation
    const judgement = judge(evidence, policy)
    if (judgement.verdict === 'passed') return { signal: 'done' }
    if (judgement.verdict === 'failed') {
      const { verdict: _, ...why } = judgement
      return { signal: 'failed', ...why }
    }
    if (standing.answer() === 'wait' && evidence.servedMs > patienceMsOf(policy.durationMs))
      return {
        signal: 'failed',
        code: 'superseded',
        detail: 'a newer goal waited while probation could not be judged',
      }
    if (unstoredMs >= storeMs) {
      database.lazily(() => standing.write({ ...deployment, evidence }))
      unstoredMs = 0
    }
    await sleep(tickMs)
  }
}

function patienceMsOf(durationMs: DurationMs): DurationMs {
  return Math.max(patienceMsMin, durationMs * patience)
}
