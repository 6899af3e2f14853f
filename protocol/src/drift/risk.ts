import { type ChangePrior, defaultPrior, type Latch, latch, openLatch, staked, wealthMax } from './prior.ts'
import { sum } from './statistics.ts'

const stakes = [0.05, 0.15, 0.4]

/** Evidence at which a model whose risk is within bounds alarms with at most 5 % probability, ever. */
export const riskThreshold = 20

/** The risk channel of one device, as plain JSON. */
export type RiskState = Latch & {
  /** Labels seen so far. */
  readonly labels: number
  readonly wealth: readonly number[]
  readonly evidence: number
}

export const startRisk: RiskState = { labels: 0, wealth: stakes.map(() => 0), evidence: 1, ...openLatch }

/**
 * One label arrived. Needs no exchangeability, only that the expected loss given the past is at most `riskMax`
 * (drift reference 2.5).
 *
 * @param loss 0..1, for instance 1 for a wrong class
 * @param riskMax 0 < riskMax <= 1, the reference error plus a tolerance; the same for all labels of a state
 */
export function riskStep(
  state: RiskState,
  loss: number,
  riskMax: number,
  prior: ChangePrior = defaultPrior,
): RiskState {
  const now = staked(prior, state.labels + 1)
  const add = (now - staked(prior, state.labels)) / stakes.length
  const wealth = state.wealth.map((before, j) =>
    Math.min(wealthMax, (before + add) * (1 + (stakes[j]! / riskMax) * (loss - riskMax))),
  )
  const evidence = sum(wealth) + 1 - now
  return {
    ...latch(state, evidence, riskThreshold, state.labels),
    labels: state.labels + 1,
    wealth,
    evidence,
  }
}
