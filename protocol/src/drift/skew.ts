import type { FeatureCounts } from './counts.ts'
import { clopperPearsonUpper } from './numerics.ts'
import { type ChangePrior, defaultPrior, type Latch, latch, openLatch, staked, wealthMax } from './prior.ts'
import type { FeatureProfile, Profile } from './profile.ts'
import { type StatisticName, sum, windowStatistics } from './statistics.ts'

/** One side of a statistic. Each is read so that larger means further from the reference. */
export const skewDirections = [
  { statistic: 'location', direction: 'up', index: 0, sign: 1 },
  { statistic: 'location', direction: 'down', index: 0, sign: -1 },
  { statistic: 'spread', direction: 'up', index: 1, sign: 1 },
  { statistic: 'spread', direction: 'down', index: 1, sign: -1 },
  { statistic: 'shape', direction: 'up', index: 2, sign: 1 },
  { statistic: 'repeat', direction: 'up', index: 3, sign: 1 },
  { statistic: 'missing', direction: 'up', index: 4, sign: 1 },
] as const satisfies { statistic: StatisticName; direction: 'up' | 'down'; index: number; sign: 1 | -1 }[]

/** Shares of the reference windows left above a threshold, in per cent. */
const tailPercents = [25, 10, 3, 0]
const stakes = [0.15, 0.6]
/** A level that a healthy window may exceed this often carries no bet worth making. */
const exceedanceMax = 0.7

/** Chance that the reference was drawn so luckily that the bounds below fail, over all directions and levels. */
export const skewDelta = 0.01
/** 1 / (0.05 - delta): at most 5 % false alarms ever, the luck of the reference included. */
export const skewThreshold = 25

/** Reference windows left above each level's threshold. */
function windowsAbove(windows: number): number[] {
  return tailPercents.map((percent) => Math.floor((percent * windows) / 100))
}

/** Per level, the most often that a healthy window exceeds its thresholds: an upper bound, 0..1. */
export function skewChances(windows: number): number[] {
  const delta = skewDelta / (skewDirections.length * tailPercents.length)
  return windowsAbove(windows).map((above) => clopperPearsonUpper(above, windows, delta))
}

/** How far from the reference a device may be and still count as the same; per statistic, absolute. */
export type SkewTolerance = readonly [
  location: number,
  spread: number,
  shape: number,
  repeat: number,
  missing: number,
]

/**
 * A quarter of a standard deviation in level and spread, a tenth in shape (drift reference 2.4). For categories,
 * whose spread is the sum of squared counts (own choice): a tenth of its largest value.
 */
export function defaultTolerance(
  kind: FeatureProfile['kind'],
  slots: number,
  referenceValues: number,
): SkewTolerance {
  const spread = kind === 'categorical' ? 0.1 * slots * slots : 250 * slots
  return [250 * slots, spread, 0.1 * slots * referenceValues, 0, 0]
}

/** Thresholds per direction and level, from the statistics of the reference windows. */
export function skewThresholds(
  windows: readonly (readonly number[])[],
  tolerance: SkewTolerance,
): number[][] {
  const above = windowsAbove(windows.length)
  return skewDirections.map(({ index, sign }) => {
    const rising = windows.map((window) => sign * window[index]!).sort((a, b) => a - b)
    return above.map((count) => rising[rising.length - 1 - count]! + tolerance[index]!)
  })
}

export type SkewLead = { readonly statistic: StatisticName; readonly direction: 'up' | 'down' }

/** What the bets need of a profile. */
type Chances = Pick<Profile, 'skewChances'>

/** The skew channel of one device and feature, as plain JSON. */
export type SkewState = Latch & {
  /** Windows bet on so far. */
  readonly windows: number
  /** Per direction, one entry for each level and stake. */
  readonly wealth: readonly (readonly number[])[]
  readonly evidence: number
  /** What brought the evidence to its peak; null while there never was any. */
  readonly lead: SkewLead | null
}

export function startSkew(profile: Chances): SkewState {
  const bets = betsOf(profile).length
  const wealth = skewDirections.map(() => new Array<number>(bets).fill(0))
  return { windows: 0, wealth, evidence: 1, lead: null, ...openLatch }
}

/** One window of the device arrives and is compared with the bundle's reference plus the tolerance. */
export function skewStep(
  profile: Chances,
  feature: FeatureProfile,
  state: SkewState,
  counts: FeatureCounts,
  prior: ChangePrior = defaultPrior,
): SkewState {
  const statistics = windowStatistics(feature, counts)
  const exceeds = skewDirections.map(({ index, sign }, d) =>
    feature.skewThresholds[d]!.map((threshold) => sign * statistics[index]! > threshold),
  )
  return betOnExceeding(profile, state, exceeds, prior)
}

/** The martingale behind `skewStep`. @param exceeds per direction and level, whether this window was beyond */
export function betOnExceeding(
  profile: Chances,
  state: SkewState,
  exceeds: readonly (readonly boolean[])[],
  prior: ChangePrior,
): SkewState {
  const bets = betsOf(profile)
  const now = staked(prior, state.windows + 1)
  const add = (now - staked(prior, state.windows)) / (bets.length * skewDirections.length)
  const wealth = state.wealth.map((of, d) =>
    of.map((before, b) => Math.min(wealthMax, (before + add) * factor(bets[b]!, exceeds[d]!))),
  )
  const perDirection = wealth.map(sum)
  const evidence = sum(perDirection) + 1 - now
  return {
    ...latch(state, evidence, skewThreshold, state.windows),
    windows: state.windows + 1,
    wealth,
    evidence,
    lead: evidence > state.peak ? leadOf(perDirection) : state.lead,
  }
}

/** On a tie the later direction leads: a silent sensor also lacks spread, but `missing` says what happened. */
function leadOf(perDirection: readonly number[]): SkewLead {
  const { statistic, direction } = skewDirections[perDirection.lastIndexOf(Math.max(...perDirection))]!
  return { statistic, direction }
}

type Bet = { level: number; chance: number; stake: number }

function betsOf({ skewChances }: Chances): Bet[] {
  return skewChances
    .map((chance, level) => ({ level, chance }))
    .filter(({ chance }) => chance < exceedanceMax)
    .flatMap((level) => stakes.map((stake) => ({ ...level, stake })))
}

/** Mean at most 1 while a window exceeds the level no more often than its chance. */
function factor({ level, chance, stake }: Bet, exceeds: readonly boolean[]): number {
  return 1 - stake + (exceeds[level] ? stake / chance : 0)
}
