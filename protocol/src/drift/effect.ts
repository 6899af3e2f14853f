import { sum } from './statistics.ts'

/**
 * How large a difference is, for people to look at. These numbers decide nothing: without drift they are as large
 * as the windows are small, and autocorrelation makes them larger (drift reference 4.3).
 */
export type Effect = {
  /** Population stability index over Jeffreys-smoothed shares. */
  psi: number
  /** PSI less what it shows without any drift. May be negative; display max(0, it). */
  psiBiasCorrected: number
  /** Jensen-Shannon distance, base 2, 0..1. */
  jensenShannon: number
  /** 0..1 */
  hellinger: number
  /** Two-sample chi-square statistic. */
  t: number
}

/**
 * @param reference counts per bin of the reference
 * @param window counts per bin, of one window or of several added up
 * @param meanT mean of T between reference windows; bins - 1 only if values are independent
 */
export function effect(reference: readonly number[], window: readonly number[], meanT: number): Effect {
  const psi = stabilityIndex(reference, window)
  return {
    psi,
    psiBiasCorrected: psi - meanT * (1 / sum(window) + 1 / sum(reference)),
    jensenShannon: jensenShannon(shares(reference), shares(window)),
    hellinger: hellinger(shares(reference), shares(window)),
    t: twoSampleT(reference, window),
  }
}

/** Bins that are empty on both sides say nothing and are passed over. */
export function twoSampleT(reference: readonly number[], window: readonly number[]): number {
  const up = Math.sqrt(sum(reference) / sum(window))
  let t = 0
  for (let i = 0; i < reference.length; i++) {
    const both = window[i]! + reference[i]!
    if (both > 0) t += (up * window[i]! - reference[i]! / up) ** 2 / both
  }
  return t
}

function stabilityIndex(reference: readonly number[], window: readonly number[]): number {
  const p = jeffreys(reference)
  const q = jeffreys(window)
  return sum(p.map((share, i) => (q[i]! - share) * Math.log(q[i]! / share)))
}

function jeffreys(counts: readonly number[]): number[] {
  const total = sum(counts) + counts.length / 2
  return counts.map((count) => (count + 0.5) / total)
}

function shares(counts: readonly number[]): number[] {
  const total = sum(counts)
  return counts.map((count) => count / total)
}

function jensenShannon(p: readonly number[], q: readonly number[]): number {
  const middle = p.map((share, i) => (share + q[i]!) / 2)
  return Math.sqrt(Math.max(0, (divergence(p, middle) + divergence(q, middle)) / 2))
}

function divergence(p: readonly number[], q: readonly number[]): number {
  return sum(p.map((share, i) => (share > 0 ? share * Math.log2(share / q[i]!) : 0)))
}

function hellinger(p: readonly number[], q: readonly number[]): number {
  return Math.sqrt(Math.max(0, 1 - sum(p.map((share, i) => Math.sqrt(share * q[i]!)))))
}
