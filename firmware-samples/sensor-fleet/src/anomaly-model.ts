/**
 * One kind of ordinary weather: a Gaussian over the features of a window. A mote that is warm and dry and hardly
 * changes is in one regime, a mote in the evening breeze in another.
 */
export type Regime = {
  /** Features are whitened as `whitener · features − offset`; row-major, lower-triangular, d × d. */
  whitener: Float64Array
  offset: Float64Array
  /** ln det(covariance) / d: what makes a wide regime no cheaper to belong to than a narrow one. */
  logVolume: number
  /** Median distance of the regime's own training windows. Dividing by it makes 1 the ordinary score everywhere. */
  radius: number
}

/**
 * How far a window of readings lies from everything the model has learned, in units of ordinary distance.
 *
 * Features are the last reading (standardised) and the steps between neighbouring readings (scaled). The regime that
 * explains them best is asked how far off they are: 1 is an ordinary window, 10 is ten times as far.
 */
export type AnomalyModel = {
  /** Readings in a window. */
  window: number
  levelCentre: readonly number[]
  levelScale: readonly number[]
  stepScale: readonly number[]
  regimes: readonly Regime[]
}

export type Scored = {
  score: number
  regime: number
  /** By how much the next best regime explains the window worse. Near 0, rounding may choose either. */
  margin: number
}

export function featureCount(model: { window: number; levelCentre: readonly number[] }): number {
  return model.window * model.levelCentre.length
}

/** The same features as the ONNX graph computes; `window` as [reading][field], oldest first. */
export function featuresOf(model: Omit<AnomalyModel, 'regimes'>, window: ArrayLike<number>): Float64Array {
  const width = model.levelCentre.length
  const features = new Float64Array(featureCount(model))
  const last = (model.window - 1) * width
  for (let f = 0; f < width; f++)
    features[f] = (window[last + f]! - model.levelCentre[f]!) / model.levelScale[f]!
  for (let i = width; i < features.length; i++) {
    features[i] = (window[i]! - window[i - width]!) / model.stepScale[i % width]!
  }
  return features
}

/** Mean squared whitened feature; its root is the distance from the regime's centre. */
export function meanSquare(regime: Regime, features: Float64Array): number {
  const d = features.length
  let total = 0
  for (let i = 0; i < d; i++) {
    let white = -regime.offset[i]!
    for (let j = 0; j <= i; j++) white += regime.whitener[i * d + j]! * features[j]!
    total += white * white
  }
  return total / d
}

export function scoreFeatures(regimes: readonly Regime[], features: Float64Array): Scored {
  let best = Number.POSITIVE_INFINITY
  let second = Number.POSITIVE_INFINITY
  let chosen = 0
  let distance = 0
  for (let k = 0; k < regimes.length; k++) {
    const square = meanSquare(regimes[k]!, features)
    const surprise = square + regimes[k]!.logVolume
    if (surprise < best) {
      second = best
      best = surprise
      chosen = k
      distance = Math.sqrt(square)
    } else if (surprise < second) second = surprise
  }
  return { score: distance / regimes[chosen]!.radius, regime: chosen, margin: second - best }
}

/** The forward pass in TypeScript: what the golden vectors are made of, and what ORT is checked against. */
export function scoreWindow(model: AnomalyModel, window: ArrayLike<number>): Scored {
  return scoreFeatures(model.regimes, featuresOf(model, window))
}
