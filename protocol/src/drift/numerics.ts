/**
 * Standard normal quantile by P. J. Acklam's rational approximation (2003), relative error below 1.2e-9.
 *
 * Closer approximations exist; this one made the reference vectors, and for a bet it matters that two
 * implementations stake the same, not that the stake is a normal score to the last digit.
 *
 * @param p probability, strictly between 0 and 1
 */
export function normalQuantile(p: number): number {
  if (p < tailBelow) return tailQuantile(Math.sqrt(-2 * Math.log(p)))
  if (p > 1 - tailBelow) return -tailQuantile(Math.sqrt(-2 * Math.log(1 - p)))
  const q = p - 0.5
  const r = q * q
  return (horner(centreAbove, r) * q) / horner(centreBelow, r)
}

const tailBelow = 0.02425
const centreAbove = [
  -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1,
  2.506628277459239,
]
const centreBelow = [
  -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1,
  1,
]
const tailAbove = [
  -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
  2.938163982698783,
]
const tailUnder = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1]

function tailQuantile(r: number): number {
  return horner(tailAbove, r) / horner(tailUnder, r)
}

/** Highest power first. */
function horner(coefficients: readonly number[], x: number): number {
  let sum = 0
  for (const c of coefficients) sum = sum * x + c
  return sum
}

/**
 * Clopper and Pearson's (1934) upper confidence bound for a probability: the p at which seeing at most
 * `successes` out of `trials` has probability `delta`. Unit: probability.
 *
 * @param successes 0 .. trials - 1
 * @param delta chance that the true probability lies above the bound, 0 < delta < 1
 */
export function clopperPearsonUpper(successes: number, trials: number, delta: number): number {
  const logDelta = Math.log(delta)
  return bisect((p) => logBinomialAtMost(successes, trials, p) > logDelta)
}

/**
 * Chernoff's upper bound for the mean of values in [0, 1]: the largest p with trials * kl(mean, p) <= ln(1/delta).
 * For averages over dependence blocks, where no binomial law holds. Unit: probability.
 */
export function klUpper(mean: number, trials: number, delta: number): number {
  const budget = -Math.log(delta) / trials
  return bisect((p) => p <= mean || bernoulliDivergence(mean, p) <= budget)
}

/** Where `holds` turns from true to false between 0 and 1; 100 halvings go past the last bit of a double. */
function bisect(holds: (p: number) => boolean): number {
  let low = 0
  let high = 1
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (holds(middle)) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** ln P(Bin(trials, p) <= successes), summed downwards from the largest term so that nothing underflows. */
function logBinomialAtMost(successes: number, trials: number, p: number): number {
  let logTop = successes * Math.log(p) + (trials - successes) * Math.log1p(-p)
  for (let i = 0; i < successes; i++) logTop += Math.log((trials - i) / (successes - i))
  let term = 1
  let sum = 1
  for (let i = successes; i > 0; i--) {
    term *= ((i / (trials - i + 1)) * (1 - p)) / p
    sum += term
  }
  return logTop + Math.log(sum)
}

function bernoulliDivergence(q: number, p: number): number {
  const hit = q > 0 ? q * Math.log(q / p) : 0
  const miss = q < 1 ? (1 - q) * Math.log((1 - q) / (1 - p)) : 0
  return hit + miss
}
