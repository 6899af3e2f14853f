import { Fault } from '../fault.ts'
import { isCertified, worstCorrelation } from './certify.ts'
import type { Binning, FeatureCounts } from './counts.ts'
import { twoSampleT } from './effect.ts'
import { FeatureBins } from './feature-bins.ts'
import { againstBundle, driftStep, driftThreshold, edgesOf } from './martingale.ts'
import { binsMax, type FeatureProfile, type Profile, referenceWindowsMin } from './profile.ts'
import { cutPoints, normalScores, surprisalScores } from './scores.ts'
import { defaultTolerance, skewChances, skewThresholds } from './skew.ts'
import { sum, windowStatistics } from './statistics.ts'

/** Values in time order, per feature; NaN where one is absent. All features of a stream have the same length. */
export type ReferenceStream = Readonly<Record<string, ArrayLike<number>>>

export type ProfileOptions = {
  /** Slots in a window. Default 64: windows long enough that neighbours of an AR(0.9) stream hardly correlate. */
  windowSize?: number
  /** Features whose values are category codes. */
  categorical?: readonly string[]
  /** Seed of the reference's tie-breaking jitter, 32 bits. */
  seed?: number
}

const replayWindowsMin = 10

/**
 * The profile of a reference: one stream, or one per device, each in time order. Windows are cut inside each
 * stream, never across two, and a stream's unfinished last window is left out altogether.
 */
export function buildProfile(streams: readonly ReferenceStream[], options: ProfileOptions = {}): Profile {
  const { windowSize = 64, categorical = [], seed = 1 } = options
  const whole = streams.map((stream) => wholeWindows(stream, windowSize))
  const windows = sum(whole.map((stream) => stream.windows))
  if (windows < referenceWindowsMin) {
    const found = `${windows} windows of ${windowSize}`
    throw new Fault(
      'drift-reference-too-short',
      `the reference has ${found}, expected ${referenceWindowsMin} or more`,
    )
  }
  const features = Object.keys(streams[0]!).map((name) => {
    const values = whole.map((stream) => stream.values(name))
    const kind = categorical.includes(name) ? 'categorical' : 'continuous'
    return buildFeature({ name, kind, windowSize, seed }, values)
  })
  return { format: 'godwit-profile/1', windowSize, windows, skewChances: skewChances(windows), features }
}

/**
 * The smallest of the window sizes at which every feature is certified; when none is, the profile of the last
 * size that the reference is long enough for, with its features marked uncertified.
 */
export function buildCertifiedProfile(
  streams: readonly ReferenceStream[],
  windowSizes: readonly number[] = [64, 128, 256, 512],
  options: Omit<ProfileOptions, 'windowSize'> = {},
): Profile {
  const [windowSize, ...larger] = windowSizes
  const profile = buildProfile(streams, { ...options, windowSize: windowSize! })
  if (profile.features.every((feature) => feature.certification.certified)) return profile
  const fits = larger.filter((size) => countWindows(streams, size) >= referenceWindowsMin)
  return fits.length > 0 ? buildCertifiedProfile(streams, fits, options) : profile
}

type Plan = { name: string; kind: FeatureProfile['kind']; windowSize: number; seed: number }

function buildFeature(plan: Plan, streams: readonly ArrayLike<number>[]): FeatureProfile {
  const { feature, statistics } = describe(plan, streams)
  const worst = worstCorrelation(statistics)
  const replayEvidence = replay(plan, streams)
  const certified = isCertified(statistics.flat().length, worst, replayEvidence, driftThreshold)
  return { ...feature, certification: { certified, worst, replayEvidence } }
}

/** Everything but the certificate; and the statistics of the reference windows, per stream. */
function describe(plan: Plan, streams: readonly ArrayLike<number>[]) {
  const binning = binningOf(plan, streams)
  const windows = streams.map((values) => countAll(binning, values, plan.windowSize))
  const referenceCounts = addUp(windows.flat())
  const scores = scoresOf(plan.kind, referenceCounts)
  const shaped = { ...binning, referenceCounts, ...scores }
  const statistics = windows.map((stream) => stream.map((counts) => windowStatistics(shaped, counts)))
  const tolerance = defaultTolerance(plan.kind, plan.windowSize, sum(referenceCounts))
  const feature = {
    ...shaped,
    rankEdges: edgesOf(statistics.flat(), plan.seed),
    skewThresholds: skewThresholds(statistics.flat(), tolerance),
    meanT: meanT(referenceCounts, windows.flat()),
    certification: { certified: false, worst: 1, replayEvidence: null },
  }
  return { feature, statistics, windows }
}

/** Does the reference itself drift? Its second half is bet on against a profile of its first. */
function replay(plan: Plan, streams: readonly ArrayLike<number>[]): number | null {
  const halves = streams.map((values) => {
    const middle = Math.floor(values.length / plan.windowSize / 2) * plan.windowSize
    const all = Array.from(values)
    return { before: all.slice(0, middle), after: all.slice(middle) }
  })
  const before = halves.map((half) => half.before)
  const windows = sum(before.map((values) => values.length)) / plan.windowSize
  if (windows < replayWindowsMin || !before.flat().some(Number.isFinite)) return null
  const { feature } = describe(plan, before)
  let state = againstBundle({ windows }, (plan.seed ^ 1) >>> 0)
  for (const { after } of halves) {
    for (const counts of countAll(feature, after, plan.windowSize)) {
      const next = driftStep({ windows }, feature, state, counts)
      if (next.phase === 'betting') state = next
    }
  }
  return state.peak
}

function binningOf({ name, kind }: Plan, streams: readonly ArrayLike<number>[]): Binning {
  const values = Float64Array.from(
    streams.flatMap((stream) => Array.from(stream).filter(Number.isFinite)),
  ).sort()
  if (values.length === 0)
    throw new Fault('drift-reference-empty', `feature ${name} has no value in the reference`)
  const edges = kind === 'categorical' ? [...new Set(values)] : cutPoints(values)
  if (edges.length > binsMax) {
    throw new Fault(
      'drift-too-many-categories',
      `feature ${name} has ${edges.length} categories, at most ${binsMax}`,
    )
  }
  return { name, kind, edges, support: { min: values[0]!, max: values[values.length - 1]! } }
}

function scoresOf(kind: FeatureProfile['kind'], referenceCounts: readonly number[]) {
  if (kind === 'categorical') return { locationScores: surprisalScores(referenceCounts), spreadScores: [] }
  const { location, spread } = normalScores(referenceCounts)
  return { locationScores: location, spreadScores: spread }
}

/** Counts of each whole window, by the same lines that count on a device. */
function countAll(binning: Binning, values: ArrayLike<number>, windowSize: number): FeatureCounts[] {
  const bins = new FeatureBins(binning)
  const windows: FeatureCounts[] = []
  for (let i = 0; i < values.length; i++) {
    bins.observe(values[i]!)
    if ((i + 1) % windowSize > 0) continue
    windows.push(bins.read())
    bins.clear()
  }
  return windows
}

function addUp(windows: readonly FeatureCounts[]): number[] {
  return windows[0]!.counts.map((_, k) => sum(windows.map((window) => window.counts[k]!)))
}

/** Each window against all the others; windows without a value have nothing to compare. */
function meanT(referenceCounts: readonly number[], windows: readonly FeatureCounts[]): number {
  const distances = windows
    .filter(({ counts }) => sum(counts) > 0 && sum(counts) < sum(referenceCounts))
    .map(({ counts }) =>
      twoSampleT(
        referenceCounts.map((all, k) => all - counts[k]!),
        counts,
      ),
    )
  return distances.length > 0 ? sum(distances) / distances.length : 0
}

function countWindows(streams: readonly ReferenceStream[], windowSize: number): number {
  return sum(streams.map((stream) => wholeWindows(stream, windowSize).windows))
}

function wholeWindows(stream: ReferenceStream, windowSize: number) {
  const lengths = new Set(Object.values(stream).map((values) => values.length))
  if (lengths.size !== 1) {
    throw new Fault(
      'drift-reference-ragged',
      `a reference stream's features have lengths ${[...lengths].join(', ')}`,
    )
  }
  const [length] = lengths
  const windows = Math.floor(length! / windowSize)
  const values = (name: string): number[] => {
    const found = stream[name]
    if (!found) throw new Fault('drift-reference-ragged', `a reference stream lacks feature ${name}`)
    return Array.from(found).slice(0, windows * windowSize)
  }
  return { windows, values }
}
