import type { FeatureCounts } from './counts.ts'
import { jitter32 } from './jitter.ts'
import { type ChangePrior, defaultPrior, type Latch, latch, openLatch, staked, wealthMax } from './prior.ts'
import type { FeatureProfile, Profile } from './profile.ts'
import { type StatisticName, statisticNames, sum, windowStatistics } from './statistics.ts'
import { betTable, bothTilts, type RankEdges, rankBin, rankEdges, upperTilts } from './urn.ts'

/** Location and spread may move either way; shape, repeat and missing are suspicious only when large. */
const tiltsOf = [bothTilts, bothTilts, upperTilts, upperTilts, upperTilts]
const strategies = sum(tiltsOf)

/** Evidence at which a healthy feature alarms with at most 5 % probability, however long one looks (Ville). */
export const driftThreshold = 20
/** Windows a device watches itself before it bets; exact for any offset of the device (drift reference 2.3). */
export const ownWindowsDefault = 64
/** Keeps the jitter of the own reference apart from that of the windows ranked in it. */
const ownSeedMask = 0x5bd1e995

/** The Polya drift martingale of one device and feature, as plain JSON. */
export type DriftState = Commissioning | Betting

/** The device's first windows become its own reference; nothing is staked on them. */
export type Commissioning = {
  readonly phase: 'commissioning'
  readonly seed: number
  readonly windowsNeeded: number
  readonly statistics: readonly (readonly number[])[]
}

export type Betting = Latch & {
  readonly phase: 'betting'
  readonly seed: number
  /** The device's own reference, or null when it is ranked among the bundle's. */
  readonly own: { readonly windows: number; readonly rankEdges: readonly RankEdges[] } | null
  /** Windows bet on so far, t. */
  readonly windows: number
  /** Per statistic and rank bin: gaps of the reference plus windows that fell there. */
  readonly urns: readonly (readonly number[])[]
  /** Per statistic and tilt. */
  readonly wealth: readonly (readonly number[])[]
  readonly evidence: number
  readonly lead: StatisticName
}

/** Ranks the device among the bundle's reference windows: sees what is wrong from the start, and every offset. */
export function againstBundle(profile: Pick<Profile, 'windows'>, seed: number): Betting {
  return startBetting(seed, null, profile.windows)
}

/** Ranks the device among its own first windows: the default for drift, immune to differences between devices. */
export function againstItself(seed: number, windowsNeeded = ownWindowsDefault): Commissioning {
  return { phase: 'commissioning', seed, windowsNeeded, statistics: [] }
}

/** One window arrives. Device and hub run this on the same integers and come to the same evidence. */
export function driftStep(
  profile: Pick<Profile, 'windows'>,
  feature: FeatureProfile,
  state: DriftState,
  counts: FeatureCounts,
  prior: ChangePrior = defaultPrior,
): DriftState {
  const statistics = windowStatistics(feature, counts)
  if (state.phase === 'commissioning') return commission(state, statistics)
  const edges = state.own?.rankEdges ?? feature.rankEdges
  const bins = statistics.map((value, s) => rankBin(edges[s]!, value, jitter32(state.seed, state.windows, s)))
  return bet(state, bins, state.own?.windows ?? profile.windows, prior)
}

/** Stakes on the rank bins of one window; three bytes a feature are enough for a hub to recompute the evidence. */
export function bet(
  state: Betting,
  bins: readonly number[],
  referenceWindows: number,
  prior: ChangePrior,
): Betting {
  const { tilts } = betTable(referenceWindows)
  const now = staked(prior, state.windows + 1)
  const add = (now - staked(prior, state.windows)) / strategies
  const wealth = state.urns.map((urn, s) => betOnBin(urn, state.wealth[s]!, tilts, bins[s]!, add))
  // The five martingales live in different filtrations, where Ville holds for each but not for their sum:
  // the largest one, each weighted by its share of the strategies, is a union bound (drift reference 3.4).
  const shares = wealth.map((of, s) => sum(of) + (tiltsOf[s]! / strategies) * (1 - now))
  const evidence = Math.max(...shares)
  return {
    ...state,
    ...latch(state, evidence, driftThreshold, state.windows),
    windows: state.windows + 1,
    urns: state.urns.map((urn, s) => urn.map((n, g) => (g === bins[s] ? n + 1 : n))),
    wealth,
    evidence,
    lead: statisticNames[shares.indexOf(evidence)]!,
  }
}

/**
 * New wealth of one statistic's strategies after a window fell into `bin`. The urn predicts bin h with
 * probability urn[h] / sum(urn), so that each factor has mean 1 while windows are exchangeable.
 */
export function betOnBin(
  urn: readonly number[],
  wealth: readonly number[],
  tilts: readonly (readonly number[])[],
  bin: number,
  add: number,
): number[] {
  const total = sum(urn)
  return wealth.map((before, j) => {
    const tilt = tilts[j]!
    let mean = 0
    for (let h = 0; h < urn.length; h++) mean += (urn[h]! / total) * tilt[h]!
    return Math.min(wealthMax, ((before + add) * tilt[bin]!) / mean)
  })
}

function commission(state: Commissioning, statistics: readonly number[]): DriftState {
  const collected = [...state.statistics, statistics]
  if (collected.length < state.windowsNeeded) return { ...state, statistics: collected }
  const own = { windows: collected.length, rankEdges: edgesOf(collected, (state.seed ^ ownSeedMask) >>> 0) }
  return startBetting(state.seed, own, collected.length)
}

/** Rank edges of every statistic, from the statistics of the reference windows in order. */
export function edgesOf(windows: readonly (readonly number[])[], seed: number): RankEdges[] {
  return statisticNames.map((_, s) =>
    rankEdges(
      windows.map((window) => window[s]!),
      windows.map((_, w) => jitter32(seed, w, s)),
    ),
  )
}

function startBetting(seed: number, own: Betting['own'], referenceWindows: number): Betting {
  const { gaps } = betTable(referenceWindows)
  return {
    phase: 'betting',
    seed,
    own,
    windows: 0,
    urns: tiltsOf.map(() => [...gaps]),
    wealth: tiltsOf.map((tilts) => new Array<number>(tilts).fill(0)),
    evidence: bothTilts / strategies,
    lead: statisticNames[0],
    ...openLatch,
  }
}
