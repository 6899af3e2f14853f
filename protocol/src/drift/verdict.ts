import { countsProblem, type DriftWindow } from './counts.ts'
import { defaultPrior } from './prior.ts'
import type { Profile } from './profile.ts'
import {
  betOnExceeding,
  type SkewLead,
  type SkewState,
  skewDelta,
  skewDirections,
  skewStep,
  skewThreshold,
  startSkew,
} from './skew.ts'

/** What is known about one device under one bundle: the skew channel of every feature. Plain JSON. */
export type VerdictState = {
  /** Index of the newest window taken in; -1 before the first. */
  readonly lastIndex: number
  readonly windows: number
  readonly features: Readonly<Record<string, SkewState>>
}

export type Taken = { taken: true; state: VerdictState } | { taken: false; because: Untaken; detail: string }
/** `already-seen` is a redelivery or a window overtaken by a later one; `malformed` is a device's mistake. */
export type Untaken = 'already-seen' | 'malformed'

export function startVerdict(profile: Profile): VerdictState {
  const features = Object.fromEntries(profile.features.map(({ name }) => [name, startSkew(profile)]))
  return { lastIndex: -1, windows: 0, features }
}

/**
 * Takes in one window. Indices must rise. A gap is evidence that is not there: it counts neither for nor against
 * the device, which is sound while windows get lost for reasons other than what they hold. A device that starts
 * counting anew (fresh deployment, lost snapshot) needs a fresh state, or its windows look already seen.
 */
export function takeWindow(profile: Profile, state: VerdictState, window: DriftWindow): Taken {
  if (window.index <= state.lastIndex) {
    return {
      taken: false,
      because: 'already-seen',
      detail: `window ${window.index} after ${state.lastIndex}`,
    }
  }
  const features: Record<string, SkewState> = {}
  for (const feature of profile.features) {
    const counts = window.features[feature.name]
    const problem = counts ? countsProblem(feature, counts, profile.windowSize) : `${feature.name}: absent`
    if (!counts || problem) return { taken: false, because: 'malformed', detail: problem ?? '' }
    features[feature.name] = skewStep(profile, feature, state.features[feature.name]!, counts)
  }
  return { taken: true, state: { lastIndex: window.index, windows: state.windows + 1, features } }
}

/** `not-enough-data` is a state of its own: nobody may read it as health. `alarm` stays once reached. */
export type VerdictWord = 'not-enough-data' | 'quiet' | 'alarm'

export type FeatureVerdict = {
  feature: string
  state: VerdictWord
  evidence: number
  peak: number
  /** How many windows had been taken in before the one that first crossed the threshold. */
  alarmedAt: number | null
  lead: SkewLead | null
  certified: boolean
}

export type Verdict = {
  state: VerdictWord
  /** Of the leading feature, now; it may have come down again from `peak`. */
  evidence: number
  peak: number
  threshold: number
  lead: ({ feature: string } & SkewLead) | null
  windows: number
  windowsNeeded: number
  /**
   * Chance that a device like the reference (within tolerance) ever alarms, by union over its features;
   * null when one of them is uncertified, because then nothing bounds it.
   */
  falseAlarmAtMost: number | null
  features: FeatureVerdict[]
}

/**
 * The device's verdict: its features' verdicts, led by the one that reached the highest evidence.
 *
 * @param windowsNeeded windows before silence counts as quiet; by default twice what the fastest alarm takes
 */
export function driftVerdict(
  profile: Profile,
  state: VerdictState,
  windowsNeeded = 2 * fastestAlarmWindows(profile),
): Verdict {
  const features = profile.features.map(({ name, certification }): FeatureVerdict => {
    const { evidence, peak, alarmedAt, lead } = state.features[name]!
    const word = alarmedAt !== null ? 'alarm' : state.windows < windowsNeeded ? 'not-enough-data' : 'quiet'
    return { feature: name, state: word, evidence, peak, alarmedAt, lead, certified: certification.certified }
  })
  const leader = features.reduce((best, feature) => (feature.peak > best.peak ? feature : best))
  const perFeature = 1 / skewThreshold + skewDelta
  return {
    state: leader.state,
    evidence: leader.evidence,
    peak: leader.peak,
    threshold: skewThreshold,
    lead: leader.lead && { feature: leader.feature, ...leader.lead },
    windows: state.windows,
    windowsNeeded,
    falseAlarmAtMost: features.every(({ certified }) => certified)
      ? Math.min(1, features.length * perFeature)
      : null,
    features,
  }
}

/** From 20 reference windows on it takes fewer than ten; only a profile that can never alarm gets here. */
const fastestAlarmGiveUp = 1000

/** Windows until the alarm of a device whose every window lies beyond every level of one statistic. */
export function fastestAlarmWindows(profile: Profile): number {
  const beyond = profile.skewChances.map(() => true)
  const within = beyond.map(() => false)
  const exceeds = skewDirections.map((_, d) => (d === 0 ? beyond : within))
  let state = startSkew(profile)
  while (state.alarmedAt === null && state.windows < fastestAlarmGiveUp) {
    state = betOnExceeding(profile, state, exceeds, defaultPrior)
  }
  return state.windows
}
