/**
 * How the stake is spread over the question "since which window has this been different?".
 *
 * `atOnce` (rho, 0..1) is the share that bets from the first window on; the rest follows with a median of
 * `tauWindows`. Defaults from drift reference 2.8: at 64 values a window, 4096 windows are about 260,000 values.
 */
export type ChangePrior = { readonly atOnce: number; readonly tauWindows: number }

export const defaultPrior: ChangePrior = { atOnce: 0.5, tauWindows: 4096 }

/** W(b): prior probability that the change began by window `b` (1-based), rising from 0 towards 1. */
export function staked({ atOnce, tauWindows }: ChangePrior, b: number): number {
  if (b === 0) return 0
  return atOnce + (1 - atOnce) * (1 - tauWindows / (tauWindows + b - 1))
}

/** Wealth is capped here: evidence beyond it says nothing more, and infinity would poison the sums. */
export const wealthMax = 1e250

/** Latched facts about a martingale: what it reached, and where it first crossed its threshold. */
export type Latch = { readonly peak: number; readonly alarmedAt: number | null }

export const openLatch: Latch = { peak: 1, alarmedAt: null }

/** Evidence decays once the urn has learnt the new normal, so the first crossing and the peak are kept. */
export function latch(before: Latch, evidence: number, threshold: number, window: number): Latch {
  return {
    peak: Math.max(before.peak, evidence),
    alarmedAt: before.alarmedAt ?? (evidence >= threshold ? window : null),
  }
}
