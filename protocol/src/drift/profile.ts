import Type, { type Static } from 'typebox'
import { Count, defineDocument, type Read } from '../schema.ts'

/** Bins of one feature: 16 for a continuous one; a classifier with more than 64 classes monitors its top ones. */
export const binsMax = 64
export const featuresMax = 256
export const windowSizeMax = 65_536
/** Ranks below this many reference windows are too coarse to bet on (drift reference 2.8). */
export const referenceWindowsMin = 20

const uint32 = Type.Integer({ minimum: 0, maximum: 0xffff_ffff })

export const FeatureProfile = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64 }),
    kind: Type.Union([Type.Literal('continuous'), Type.Literal('categorical')]),
    /** Continuous: inner cut points, bin k holds edges[k-1] < x <= edges[k]. Categorical: the categories. Rising. */
    edges: Type.Array(Type.Number(), { maxItems: binsMax }),
    referenceCounts: Type.Array(Count, { minItems: 1, maxItems: binsMax }),
    /** A_k, thousandths of a normal score (continuous) or of a nat of surprisal (categorical). */
    locationScores: Type.Array(Type.Integer(), { maxItems: binsMax }),
    /** Q_k, thousandths of a squared normal score; empty for a categorical feature. */
    spreadScores: Type.Array(Type.Integer(), { maxItems: binsMax }),
    /** Smallest and largest value of the reference. */
    support: Type.Object({ min: Type.Number(), max: Type.Number() }, { additionalProperties: false }),
    /** Per statistic, the keys of the reference windows at the edge ranks. */
    rankEdges: Type.Array(
      Type.Object(
        { values: Type.Array(Type.Integer()), jitters: Type.Array(uint32) },
        { additionalProperties: false },
      ),
      { minItems: 5, maxItems: 5 },
    ),
    /** Per direction and level, what a window must exceed to count as beyond the reference plus its tolerance. */
    skewThresholds: Type.Array(Type.Array(Type.Number(), { minItems: 4, maxItems: 4 }), {
      minItems: 7,
      maxItems: 7,
    }),
    /** Mean two-sample T of one reference window against the others: the bias that PSI has without any drift. */
    meanT: Type.Number({ minimum: 0 }),
    certification: Type.Object(
      {
        /** False: evidence about this feature is a score, not a bound on false alarms. */
        certified: Type.Boolean(),
        /** Largest autocorrelation of the reference's window statistics, 0..1. */
        worst: Type.Number(),
        /** Drift evidence of the reference's second half against its first; null when too short to halve. */
        replayEvidence: Type.Union([Type.Number(), Type.Null()]),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
)
export type FeatureProfile = Static<typeof FeatureProfile>

/**
 * What a feature looked like where the model was made. It travels inside the signed bundle: whoever could change
 * it could silence an alarm or raise one. The table of bets follows from `windows` and is not shipped.
 */
export const Profile = Type.Object(
  {
    format: Type.Literal('godwit-profile/1'),
    /** Slots in a window, n. */
    windowSize: Type.Integer({ minimum: 1, maximum: windowSizeMax }),
    /** Reference windows, M. */
    windows: Type.Integer({ minimum: referenceWindowsMin }),
    /** Per level of the skew channel, the most often that a healthy window exceeds its thresholds, 0..1. */
    skewChances: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 1 }), { minItems: 4, maxItems: 4 }),
    features: Type.Array(FeatureProfile, { minItems: 1, maxItems: featuresMax }),
  },
  { additionalProperties: false },
)
export type Profile = Static<typeof Profile>

const document = defineDocument('drift profile', Profile)

/** Reads a profile and checks what a schema cannot say: its arrays must fit each other. */
export function readProfile(value: unknown): Read<Profile> {
  const read = document.check(value)
  if (!read.ok) return read
  const names = new Set(read.value.features.map((feature) => feature.name))
  if (names.size < read.value.features.length)
    return { ok: false, detail: 'drift profile: a feature is named twice' }
  for (const feature of read.value.features) {
    const problem = featureProblem(feature)
    if (problem) return { ok: false, detail: `drift profile: ${feature.name} ${problem}` }
  }
  return read
}

function featureProblem(feature: FeatureProfile): string | null {
  const bins = binsOf(feature)
  const isContinuous = feature.kind === 'continuous'
  if (!feature.edges.every((edge, k) => k === 0 || feature.edges[k - 1]! < edge))
    return 'has edges that do not rise'
  if (feature.referenceCounts.length !== bins) return `has ${feature.referenceCounts.length} bins for ${bins}`
  if (feature.locationScores.length !== bins) return 'has location scores for other bins'
  if (feature.spreadScores.length !== (isContinuous ? bins : 0)) return 'has spread scores for other bins'
  if (!feature.rankEdges.every((edges) => edges.values.length === edges.jitters.length))
    return 'has unpaired rank edges'
  return null
}

export function binsOf({ kind, edges }: Pick<FeatureProfile, 'kind' | 'edges'>): number {
  return kind === 'categorical' ? edges.length : edges.length + 1
}
